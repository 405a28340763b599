"""The outbox: in order, at least once, nothing forgotten by a crash, and never larger than it may be."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threat_scorer.run.outbox.entries import Entry, OutboxError, OutboxFull, Row
from threat_scorer.run.outbox.outbox import ROW_BYTES, Outbox, to_line

SIZE = 2 + 2 + ROW_BYTES  # of an entry with a key and a body of two bytes


def entry(number, probability=0.5):
    return Entry(f"{number:02d}", b"{}", probability)


def keys(outbox, output="out"):
    return [row.key for row in outbox.pending(output, limit=1000)]


@pytest.fixture
def open_outbox(tmp_path):
    opened = []

    def open_(*, outputs=("out",), rows=100, when_full="oldest"):
        opened.append(Outbox(tmp_path / "outbox.sqlite", outputs=outputs, limit_bytes=rows * SIZE, when_full=when_full))
        return opened[-1]

    yield open_
    for outbox in opened:
        outbox.close()


def test_records_come_out_in_order_until_they_are_delivered(open_outbox):
    outbox = open_outbox()
    numbers = outbox.put([entry(1), entry(2), entry(3)])
    assert numbers == sorted(numbers)
    assert keys(outbox) == ["01", "02", "03"]
    outbox.delivered("out", numbers[1])
    assert keys(outbox) == ["03"]
    assert outbox.depth == 1


def test_what_was_put_is_there_for_another_that_opens_the_file(open_outbox):
    outbox = open_outbox()
    (seq,) = outbox.put([entry(1)], positions={"log": "17"}, latest=1.8e9)
    again = open_outbox()  # as after kill -9: the first one was never closed
    assert keys(again) == ["01"]
    assert (again.position("log"), float(again.fact("latest"))) == ("17", 1.8e9)
    assert again.stream == outbox.stream
    assert again.put([entry(2)])[0] > seq
    assert (again.depth, again.bytes) == (2, 2 * SIZE)


def test_a_sequence_number_is_never_given_twice(open_outbox):
    outbox = open_outbox()
    (first,) = outbox.put([entry(1)])
    outbox.delivered("out", first)
    assert open_outbox().put([entry(2)])[0] > first


def test_a_record_that_still_waits_is_not_written_again(open_outbox):
    outbox = open_outbox()
    first, second = outbox.put([entry(1)]), outbox.put([entry(1), entry(2)])
    assert second[0] == first[0]
    assert keys(outbox) == ["01", "02"]
    assert outbox.counts() == {"accepted": 2, "repeated": 1, "dropped": 0}


def test_each_output_has_a_pace_of_its_own(open_outbox):
    outbox = open_outbox(outputs=("fast", "slow"))
    numbers = outbox.put([entry(1), entry(2)])
    outbox.delivered("fast", numbers[-1])
    assert (keys(outbox, "fast"), keys(outbox, "slow")) == ([], ["01", "02"])
    outbox.delivered("slow", numbers[0])
    assert (outbox.depth, outbox.behind("slow"), outbox.behind("fast")) == (1, 1, 0)


def test_an_output_that_is_gone_is_waited_for_no_longer(open_outbox):
    outbox = open_outbox(outputs=("out", "gone"))
    numbers = outbox.put([entry(1)])
    again = open_outbox()
    again.delivered("out", numbers[0])
    assert again.depth == 0


@pytest.mark.parametrize(
    ("when_full", "left"),
    [("oldest", ["03", "04", "05"]), ("lowest", ["01", "04", "05"])],
)
def test_what_goes_at_the_limit_is_the_operators_choice_and_is_counted(open_outbox, when_full, left):
    outbox = open_outbox(rows=3, when_full=when_full)
    outbox.put([entry(1, 0.9), entry(2, None), entry(3, 0.1)])
    outbox.put([entry(4, 0.5), entry(5, 0.6)])
    assert keys(outbox) == left
    assert outbox.counts()["dropped"] == 2


def test_refusing_at_the_limit_keeps_all_and_takes_nothing_of_what_came(open_outbox):
    outbox = open_outbox(rows=2, when_full="refuse")
    (first,) = outbox.put([entry(1)])
    with pytest.raises(OutboxFull, match="is full"):
        outbox.put([entry(2), entry(3)], positions={"log": "9"})
    assert keys(outbox) == ["01"]
    assert (outbox.bytes, outbox.depth, outbox.position("log")) == (SIZE, 1, None)
    outbox.delivered("out", first)
    outbox.put([entry(2), entry(3)])
    assert keys(outbox) == ["02", "03"]


def test_a_disk_that_fails_is_reported_and_nothing_is_kept_of_what_came(open_outbox):
    outbox = open_outbox()
    outbox.put([entry(1)])
    (pages,) = outbox._db.execute("PRAGMA page_count").fetchone()
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")  # as if the disk were full from here on
    with pytest.raises(OutboxError, match="full"):
        outbox.put([Entry("big", b"x" * 100_000, 0.5)])
    assert keys(outbox) == ["01"]
    assert (outbox.bytes, outbox.depth) == (SIZE, 1)


def test_a_damaged_file_is_put_aside_and_reported_and_the_work_goes_on(open_outbox, tmp_path):
    (tmp_path / "outbox.sqlite").write_bytes(b"this is no database, it is a torn card" * 100)
    outbox = open_outbox()
    assert outbox.damaged == tmp_path / "outbox.sqlite.damaged-1"
    assert outbox.damaged.exists()
    outbox.put([entry(1)])
    assert keys(outbox) == ["01"]


def test_a_folder_that_cannot_be_is_reported(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutboxError, match="cannot be made"):
        Outbox(tmp_path / "file/outbox.sqlite", outputs=["out"], limit_bytes=10**6, when_full="oldest")


def test_what_was_put_waits_for_the_disk_and_what_was_delivered_need_not(open_outbox):
    outbox = open_outbox()
    statements: list[str] = []
    outbox._db.set_trace_callback(statements.append)
    (seq,) = outbox.put([entry(1)])
    assert (statements[0], statements[1], statements[-1]) == ("PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "COMMIT")
    assert outbox._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL, after the commit still
    statements.clear()
    outbox.delivered("out", seq)
    assert (statements[0], statements[-1]) == ("PRAGMA synchronous = NORMAL", "COMMIT")
    assert outbox._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_latest_time_is_kept_now_and_then(open_outbox):
    outbox = open_outbox()
    for number, latest in enumerate((100.0, 105.0, 111.0, 50.0)):
        outbox.put([entry(number)], latest=latest)
    assert float(outbox.fact("latest")) == 111.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), max_size=6)),
        st.tuples(st.just("deliver"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, when_full=st.sampled_from(["oldest", "lowest", "refuse"]))
def test_whatever_happens_sizes_and_counts_agree_with_what_is_in_the_file(tmp_path_factory, steps, when_full):
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite"

    def opened():
        return Outbox(path, outputs=["a", "b"], limit_bytes=8 * SIZE, when_full=when_full)

    outbox = opened()
    for step, what in steps:
        if step == "put":
            try:
                outbox.put([entry(number, probability) for number, probability in what])
            except OutboxFull:
                assert when_full == "refuse"
        elif step == "deliver":
            if rows := outbox.pending(what, limit=3):
                assert [row.seq for row in rows] == sorted(row.seq for row in rows)
                outbox.delivered(what, rows[-1].seq)
                assert all(row.seq > rows[-1].seq for row in outbox.pending(what, limit=100))
        else:
            outbox.close()
            outbox = opened()
    with sqlite3.connect(path) as other:
        (rows,) = other.execute("SELECT count(*) FROM outbox").fetchone()
    other.close()
    assert (outbox.depth, outbox.bytes) == (rows, rows * SIZE)
    assert rows <= 8
    outbox.close()


def test_a_line_contains_its_place_its_key_and_the_record():
    assert to_line(Row(3, "k", b'{"id": 1}'), "s") == b'{"seq": 3, "stream": "s", "key": "k", "id": 1}\n'
