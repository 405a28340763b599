from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import admiralty, params, paths, store, tables
from pipeline.ingest import linkage, stage
from pipeline.simulate.write import write_theatre

T0 = datetime(2020, 5, 5, tzinfo=UTC)


def incident(source, number, *, days=0.0, north_m=0.0, precision="day", **more):
    row = {
        "incident_id": f"{source}:{number}",
        "source_id": source,
        "record_id": str(number),
        "occurred_at": T0 + timedelta(days=days),
        "occurred_precision": precision,
        "available_at": T0 + timedelta(days=days + 3),
        "superseded_at": None,
        "latitude_deg": 5.0 + north_m / 111_195.0,
        "longitude_deg": -74.0,
        "location_precision_m": 500.0,
        "event_type": "explosion",
        "hazard": "mine",
        "victim_count": None,
        "source_reliability": None,
        "information_credibility": None,
        "originator": source.upper(),
        "releasable_to": ["ALL"],
        "tlp": "CLEAR",
        "simulated": False,
        "raw_file": source,
        "raw_row": number,
    }
    return {**row, **more}


def pairs(*rows, **rule):
    table = linkage.link(pa.Table.from_pylist(list(rows), schema=tables.INCIDENTS), linkage.LinkRule(**rule))
    return list(zip(table["incident_id"].to_pylist(), table["other_id"].to_pylist(), strict=True))


def test_two_reports_of_one_place_and_day_are_one_event_and_the_better_dated_comes_first():
    assert pairs(incident("a", 1), incident("b", 1, precision="minute", north_m=300)) == [("b:1", "a:1")]


@pytest.mark.parametrize(
    "other",
    [
        incident("a", 2),  # of the same source: its own record of its own event
        incident("b", 1, north_m=5000),
        incident("b", 1, days=3),
        incident("b", 1, event_type="hoax_false"),
        incident("b", 1, hazard="uxo"),
        incident("b", 1, superseded_at=T0),
        incident("b", 1, releasable_to=["C"]),
        incident("b", 1, precision="year"),
    ],
)
def test_reports_that_differ_too_much_or_may_not_meet_are_not_linked(other):
    assert pairs(incident("a", 1), other) == []


def test_a_marking_holds_in_both_directions():
    ours = incident("a", 1, releasable_to=["B"])
    assert pairs(ours, incident("b", 1)) == [("a:1", "b:1")]
    assert pairs(ours, incident("c", 1)) == []
    assert pairs(incident("c", 1), ours) == []


def test_each_report_has_one_partner_and_the_nearest_is_taken():
    rows = [incident("a", 1), incident("b", 1, north_m=200), incident("b", 2, north_m=-450)]
    assert pairs(*rows) == [("a:1", "b:1")]


def test_a_coincidence_among_many_is_no_link():
    """The same pair, alone and where the other source reports as much every day."""
    pair = [incident("a", 1), incident("b", 1, north_m=700)]
    crowd = [
        incident(
            "b",
            100 + 40 * day + spot,
            days=day - 10,
            north_m=500 * (spot - 20),
            longitude_deg=-74.0 + 0.004 * (spot % 7),
        )
        for day in range(20)
        for spot in range(40)
    ]
    assert pairs(*pair) == [("a:1", "b:1")]
    assert ("a:1", "b:1") not in pairs(*pair, *crowd)


def test_merges_that_are_taken_out_are_undone_and_no_third_report_carries_across_a_marking():
    rows = [
        incident("a", 1, releasable_to=["B"]),
        incident("b", 1, north_m=100),
        incident("c", 1, north_m=110),
    ]
    table = pa.Table.from_pylist(rows, schema=tables.INCIDENTS)
    merges = linkage.link(table)
    assert merges.num_rows == 2
    assert linkage.events(table, merges).to_pylist() == [
        "a:1",
        "b:1",
        "b:1",
    ]  # a may not meet c: the better pair stands
    rest = merges.filter(pc.not_equal(merges["other_id"], "c:1"))
    assert linkage.events(table, rest).to_pylist() == ["a:1", "a:1", "c:1"]
    assert linkage.events(table, merges.slice(0, 0)).to_pylist() == ["a:1", "b:1", "c:1"]


@pytest.fixture(scope="module")
def theatre(tmp_path_factory):
    """Return the incidents of the simulated theatre and which event each truly reports."""
    folder = tmp_path_factory.mktemp("theatre")
    settings = params.load()
    size = params.Simulate(size="theatre", seed=7)
    write_theatre(size, settings.dataset("simulated"), raw=folder / "raw", truth=folder / "truth")
    done = stage.ingest("simulated", settings, sources=paths.SOURCES, raw=folder / "raw", staging=folder / "staging")
    parts = [store.read_table(staged.rows) for staged in done.values() if staged.counts["table"] == "incidents"]
    incidents = pa.concat_tables(parts)
    reports = store.read_table(folder / "truth/reports.parquet").to_pylist()
    event = {(row["raw_file"], row["record_id"]): row["event_id"] for row in reports}
    standing = incidents.filter(pc.is_null(incidents["superseded_at"])).to_pylist()
    return (
        incidents,
        {row["incident_id"]: event.get((row["raw_file"], row["record_id"])) for row in standing},
        folder,
        done,
    )


def test_linkage_is_precise_and_complete_on_the_simulated_theatre(theatre):
    incidents, event, *_ = theatre
    public = incidents.set_column(
        incidents.schema.get_field_index("releasable_to"),
        incidents.schema.field("releasable_to"),
        pa.array([["ALL"]] * incidents.num_rows, incidents.schema.field("releasable_to").type),
    )
    for table in (incidents, public):
        merges = linkage.link(table)
        linked = set(zip(merges["incident_id"].to_pylist(), merges["other_id"].to_pylist(), strict=True))
        sources = {frozenset((a.split(":")[0], b.split(":")[0])) for a, b in linked}
        right = sum(event[a] is not None and event[a] == event[b] for a, b in linked)
        by_event: dict[str, list[str]] = {}
        for name, truth in event.items():
            by_event.setdefault(truth or name, []).append(name)
        true = [
            pair
            for names in by_event.values()
            for pair in combinations(names, 2)
            if frozenset(name.split(":")[0] for name in pair) in sources
        ]
        found = sum(pair in linked or pair[::-1] in linked for pair in true)
        assert right / len(linked) >= 0.97
        assert found / len(true) >= 0.90


def test_what_was_spoilt_on_purpose_is_in_the_quarantine_and_nothing_else(theatre):
    *_, folder, done = theatre
    spoilt = store.read_table(Path(folder / "truth/faults.parquet")).to_pylist()
    files = {row["raw_file"] for row in spoilt}  # the truth about detections lists no faults
    refused = [row for staged in done.values() for row in store.read_table(staged.quarantine).to_pylist()]
    found = {(row["raw_file"], row["raw_row"]) for row in refused if row["raw_file"] in files}
    assert found == {(row["raw_file"], row["raw_row"]) for row in spoilt}


def test_weights_fall_with_the_codes_and_what_cannot_be_judged_has_none():
    letters = pa.chunked_array([[*tables.RELIABILITIES, None]])
    weights = admiralty.reliability_weights(letters)
    assert sorted(weights[:-1], reverse=True) == weights[:-1].tolist()
    numbers = admiralty.credibility_weights(pa.chunked_array([pa.array([*tables.CREDIBILITIES, None], pa.int8())]))
    assert weights.tolist()[:-1] == numbers.tolist()[:-1]
    assert weights[-1] != weights[-1]
    both = admiralty.sample_weights(
        pa.chunked_array([["A", None, None]]), pa.chunked_array([pa.array([3, 3, None], pa.int8())])
    )
    assert both.tolist() == pytest.approx([0.57, 0.60, 1.0])
