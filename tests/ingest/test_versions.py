import random
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ingest_case import INCIDENTS, Case, balance, changed, rows

from pipeline.ingest import staging
from pipeline.ingest.rules import keys

REPORTED = changed(
    INCIDENTS,
    available_at={"at": {"column": "reported", "formats": ["%Y-%m-%d"]}},
    status={"column": "status", "values": {"new": "report", "fix": "correction", "void": "withdrawal"}},
)
HEADER = "id,type,victims,date,lat,lon,reported,status\n"


def line(record, victims, reported, status="new"):
    return f"{record},blast,{victims},2020-01-01,4.5,-74.1,2020-02-{reported:02d},{status}\n"


def known(staged, day):
    """Return the open versions at a cutoff, by the rule that every reader of the tables keeps."""
    cutoff = datetime(2020, 2, day, tzinfo=UTC)
    return {
        row["record_id"]: row["victim_count"]
        for row in rows(staged)
        if row["available_at"] <= cutoff and (row["superseded_at"] is None or row["superseded_at"] > cutoff)
    }


def test_a_cutoff_sees_the_version_known_then(tmp_path):
    content = HEADER + line(1, 5, 9, "fix") + line(1, 2, 3) + line(2, 1, 4) + line(2, 0, 6, "void") + line(3, 1, 5)
    staged = Case(tmp_path, REPORTED).ingest(content)
    assert known(staged, 2) == {}
    assert known(staged, 3) == {"1": 2}
    assert known(staged, 5) == {"1": 2, "2": 1, "3": 1}
    assert known(staged, 6) == {"1": 2, "3": 1}
    assert known(staged, 9) == {"1": 5, "3": 1}
    assert len({row["incident_id"] for row in rows(staged) if row["record_id"] == "1"}) == 1
    counts = staged.counts
    assert (counts.kept, counts.withdrawals, counts.corrections) == (4, 1, 1)
    assert balance(staged) == (5, 5)


def test_a_repeat_is_merged_into_the_open_version_and_a_return_to_the_first_is_not(tmp_path):
    content = HEADER + line(1, 2, 3) + line(1, 2, 4) + line(1, 5, 5, "fix") + line(1, 2, 6, "fix")
    staged = Case(tmp_path, REPORTED).ingest(content)
    assert [(row["raw_row"], row["victim_count"]) for row in rows(staged)] == [(1, 2), (3, 5), (4, 2)]
    assert staged.counts.repeats == 1
    assert known(staged, 6) == {"1": 2}


def test_a_withdrawal_needs_only_its_key_and_its_time(tmp_path):
    staged = Case(tmp_path, REPORTED).ingest(HEADER + line(1, 2, 3) + "1,,,,,,2020-02-05,void\n,,,,,,2020-02-05,void\n")
    assert known(staged, 4) == {"1": 2}
    assert known(staged, 5) == {}
    assert balance(staged) == (3, 3)
    assert staged.counts.rules == {"missing_value": 1}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 28), st.sampled_from(["new", "fix", "void"])
        ),
        max_size=12,
        unique_by=lambda event: (event[0], event[2]),
    )
)
def test_any_order_of_reports_replays_in_the_order_of_the_partner(tmp_path_factory, events):
    """Oracle: replay the reports in the order of their time and take the open versions."""
    staged = Case(tmp_path_factory.mktemp("replay"), REPORTED).ingest(
        HEADER + "".join(line(record, victims, day, status) for record, victims, day, status in events)
    )
    for day in range(1, 29):
        standing = {}
        for record, victims, reported, status in sorted(events, key=lambda event: event[2]):
            if reported > day:
                break
            standing.pop(record, None)
            if status != "void":
                standing[record] = victims
        assert known(staged, day) == standing
    assert balance(staged)[0] == balance(staged)[1] == len(events)


def test_rows_come_in_the_files_order_whatever_was_resolved(tmp_path, monkeypatch):
    monkeypatch.setattr(staging.readers, "BLOCK", 4096)
    shuffled = random.Random(7)
    lines = [line(shuffled.randrange(400), shuffled.randrange(3), shuffled.randrange(1, 28)) for _ in range(1000)]
    staged = Case(tmp_path, REPORTED).ingest(HEADER + "".join(lines))
    order = [row["raw_row"] for row in rows(staged)]
    assert order == sorted(order)
    assert staged.counts.repeats > 0
    assert balance(staged) == (1000, 1000)


@given(st.lists(st.text(max_size=80), max_size=60))
def test_texts_that_are_equal_hash_alike_and_others_do_not(texts):
    hashes = keys.hashes(pa.array(texts, pa.string()))
    clipped = [(text.encode()[:64], min(len(text.encode()), 255)) for text in texts]
    assert len(np.unique(hashes)) >= len({c[0] for c in clipped if c[1] <= 64})
    assert len({(h, t) for h, t in zip(hashes.tolist(), texts, strict=True)}) == len(set(texts))
    sliced = pa.array(["", *texts, "x"], pa.string()).slice(1, len(texts))
    assert (keys.hashes(sliced) == hashes).all()


@pytest.mark.parametrize("at_once", [1 << 24, 64])
def test_repeated_hashes_are_found_in_bounded_memory(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(keys, "_AT_ONCE", at_once)
    hashes = keys.hashes(pa.array([f"r{i % 900}" for i in range(1000)]))
    hashes.tofile(tmp_path / "h")
    expected = np.unique(keys.hashes(pa.array([f"r{i}" for i in range(100)])))
    assert (keys.repeated(tmp_path / "h") == expected).all()
