"""Lines in, lines out: any chunking, any fault, one score a record in its place, within bounded memory."""

import io
import json
from codecs import BOM_UTF8

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_bundle import CONTRACT, model

from threat_scorer.scoring import lines as line_reading
from threat_scorer.scoring.lines import CHUNK_BYTES, LONGEST_LINE_BYTES, TooLong, read_lines
from threat_scorer.scoring.model import Model
from threat_scorer.scoring.stream import Counts, score_stream


@pytest.fixture(scope="module")
def tiny():
    return Model(model(CONTRACT, len(CONTRACT.features)).SerializeToString(), where="tiny")


def run(tiny, chunks):
    """Feed the chunks as a pipe would give them; return the scores, and the counts."""
    pending, out, counts = [chunk for chunk in chunks if chunk], io.BytesIO(), Counts()
    score_stream(lambda size: pending.pop(0) if pending else b"", out.write, model=tiny, bundle="tiny-0", counts=counts)
    return [json.loads(line) for line in out.getvalue().splitlines()], counts


GOOD = b'{"id": "d1", "voltage": 0.9, "height": 0.1}'


def test_each_line_is_answered_in_its_place_and_the_rest_is_scored(tiny):
    lines = [
        GOOD,
        b"not json",
        b'{"voltage": 0.9}',
        b"",
        b'{"voltage": 0.9, "height": 1.5}',
        b'{"id": 7, "height": "x"}',
    ]
    scores, counts = run(tiny, [b"\n".join(lines) + b"\n"])
    assert [score.get("line") for score in scores] == [None, 2, 3, None, 6]
    assert scores[0].keys() == {"id", "model", "probability", "bundle", "simulated"}
    assert (scores[0]["id"], scores[0]["model"], scores[0]["bundle"]) == ("d1", "sensor_threat", "tiny-0")
    assert scores[1] == {"line": 2, "error": "not JSON: Expecting value at column 1"}
    assert scores[2] == {"line": 3, "error": "height: got nothing; expected a number (it is required)"}
    assert scores[3]["id"] == 5
    assert scores[3]["out_of_range"] == ["height"]
    assert (counts.scored, counts.failed) == (2, 3)


@given(st.lists(st.sampled_from([GOOD, b"not json", b"", b" \t", b"\r"]), max_size=8), st.integers(1, 9))
def test_a_byte_order_mark_and_blank_lines_are_no_records(tiny, lines, size):
    text = BOM_UTF8 + b"\n".join(lines)
    scores, counts = run(tiny, [text[at : at + size] for at in range(0, len(text), size)])
    assert (counts.scored, counts.failed) == (lines.count(GOOD), lines.count(b"not json"))
    assert [score["line"] for score in scores if "error" in score] == [
        number for number, line in enumerate(lines, start=1) if line == b"not json"
    ]
    assert scores == run(tiny, [text.removeprefix(BOM_UTF8)])[0]


def test_a_byte_order_mark_further_on_is_no_json(tiny):
    scores, counts = run(tiny, [GOOD + b"\n" + BOM_UTF8 + GOOD])
    assert [score.get("line") for score in scores] == [None, 2]
    assert (counts.scored, counts.failed) == (1, 1)


def test_a_line_is_scored_alike_alone_and_in_a_batch(tiny):
    rng = np.random.default_rng(0)
    lines = [json.dumps({"voltage": v, "height": h, "emi_in_phase": e}).encode() for v, h, e in rng.random((50, 3))]
    together, _ = run(tiny, [b"\n".join(lines)])
    alone = [run(tiny, [line])[0][0] for line in lines]
    assert [score["probability"] for score in together] == [score["probability"] for score in alone]


def test_probabilities_are_written_so_that_float32_reads_them_back(tiny):
    scores, _ = run(tiny, [GOOD])
    expected = tiny.predict_row([0.9, 0.1, np.nan, np.nan]).probability
    assert np.float32(scores[0]["probability"]) == np.float32(expected)


def test_a_bundle_of_a_real_theatre_is_not_called_simulated(tiny):
    real = json.loads(CONTRACT.to_json()) | {"simulated": False}
    contract = type(CONTRACT).from_json(json.dumps(real))
    loaded = Model(model(contract, len(contract.features)).SerializeToString(), where="real")
    assert "simulated" not in run(loaded, [GOOD])[0][0]


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"\r\n", GOOD]), max_size=12))
def test_however_a_stream_is_cut_every_line_that_is_not_blank_gets_one_answer_in_order(tiny, chunks):
    text = b"".join(chunks)
    filled = [number for number, line in enumerate(text.split(b"\n"), start=1) if line.strip()]
    scores, counts = run(tiny, chunks)
    assert len(scores) == counts.scored + counts.failed == len(filled)
    assert [a["line"] for a in scores if "error" in a] == [
        number for number, score in zip(filled, scores, strict=True) if "error" in score
    ]
    assert scores == run(tiny, [text])[0]


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 7))
def test_lines_over_the_limit_are_marked_and_the_others_come_through(lengths, size):
    limit = 6
    text = b"\n".join(b"x" * length for length in lengths) + b"\n"
    chunks = [text[i : i + size] for i in range(0, len(text), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_reading, "LONGEST_LINE_BYTES", limit)
        lines = [line for batch in read_lines(lambda _: chunks.pop(0) if chunks else b"") for line in batch]
    kept = [None if isinstance(line, TooLong) else len(line) for line in lines]
    assert kept == [length if length <= limit else None for length in lengths or [0]]


def test_an_endless_line_is_read_past_within_bounded_memory(tiny):
    import tracemalloc

    chunk = b" " * CHUNK_BYTES
    chunks = iter([chunk] * 1000)  # 62 MiB without an end
    tracemalloc.start()
    lines = [line for batch in read_lines(lambda _: next(chunks, b"")) for line in batch]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [type(line) for line in lines] == [TooLong]
    assert peak < 4 * LONGEST_LINE_BYTES
