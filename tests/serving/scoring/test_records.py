"""Records: what a partner may send, and what each fault is called."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_bundle import INPUTS

from threat_scorer.errors import RecordError
from threat_scorer.scoring.records import RecordReader, parse_record, record_id

READER = RecordReader(INPUTS)
NAMES = [entry.name for entry in INPUTS]


def read(record):
    values, out_of_range = READER.read(record)
    return dict(zip(NAMES, values, strict=True)), out_of_range


def test_every_input_is_read_in_the_contracts_order():
    record = {"emi_quadrature": 0.4, "emi_in_phase": 0.3, "height": 0.2, "voltage": 0.1}
    assert READER.read(record) == ([0.1, 0.2, 0.3, 0.4], ())


@pytest.mark.parametrize(
    "extra", [{}, {"emi_in_phase": None}, {"emi_in_phase": float("nan")}, {"emi_in_phase": np.ma.masked}]
)
def test_an_optional_input_may_be_absent_or_null(extra):
    values, out_of_range = read({"voltage": 0.1, "height": 1, **extra})
    assert values["height"] == 1.0
    assert np.isnan([values["emi_in_phase"], values["emi_quadrature"]]).all()
    assert out_of_range == ()


def test_keys_that_no_model_reads_are_left_alone():
    record = {"id": "d1", "voltage": 0.1, "height": 0.2, "latitude_deg": 10.5, "observed_at": "2024-01-01"}
    assert read(record)[0]["voltage"] == 0.1


def test_numpys_numbers_are_numbers():
    values, _ = read({"voltage": np.float32(0.5), "height": np.int64(1)})
    assert (values["voltage"], values["height"]) == (0.5, 1.0)


def test_a_value_out_of_range_is_read_and_flagged_and_the_limits_are_in_range():
    assert read({"voltage": 1.5, "height": -0.1})[1] == ("voltage", "height")
    assert read({"voltage": 1, "height": 0.0, "emi_in_phase": -2.0})[1] == ()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"voltage": 0.1}, "height: got nothing; expected a number (it is required)"),
        ({"voltage": 0.1, "height": None}, "height: got null"),
        ({"voltage": 0.1, "height": np.ma.masked}, "height: got a masked value"),
        ({"voltage": 0.1, "height": float("nan")}, "height: got nan"),
        ({"voltage": "0.1", "height": 0.2}, "voltage: got '0.1'; expected a number"),
        ({"voltage": True, "height": 0.2}, "voltage: got True"),
        ({"voltage": [0.1], "height": 0.2}, "voltage: got [0.1]"),
        ({"voltage": {}, "height": 0.2}, "voltage: got {}"),
        ({"voltage": float("inf"), "height": 0.2}, "voltage: got inf"),
        ({"voltage": 1e39, "height": 0.2}, "voltage: got 1e+39"),
        ({"voltage": 10**30, "height": 0.2}, "voltage: got 1000000000000000000000000000000; expected integers within"),
        ({"voltage": 0.1, "hieght": 0.2}, "unknown key 'hieght'; did you mean 'height'?"),
        ({"Voltage": 0.1, "height": 0.2}, "did you mean 'voltage'?"),
        ({"voltage": 0.1, "height": 0.2, "emi_inphase": 0.3}, "did you mean 'emi_in_phase'?"),
        ({"voltage": 0.1, "height": 0.2, "emi_inphase": 0.3, "emi_quadrature": 0.4}, "did you mean 'emi_in_phase'?"),
    ],
)
def test_a_record_that_cannot_be_scored_is_refused_by_key(record, message):
    with pytest.raises(RecordError) as raised:
        READER.read(record)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "not JSON"),
        (b"voltage", "not JSON: Expecting value at column 1"),
        (b'{"voltage": 0.1', "not JSON"),
        (b"[1]", "got [1]; expected a JSON object"),
        (b"null", "expected a JSON object"),
        (b'{"voltage": NaN}', "got NaN"),
        (b'{"voltage": -Infinity}', "got -Infinity"),
        (b'{"voltage": 1, "voltage": 2}', "'voltage' is given twice"),
        (b'{"voltage": "\xff"}', "not UTF-8 at byte 13"),
        (b'{"voltage": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 500_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_no_record_is_refused_with_the_reason(line, message):
    with pytest.raises(RecordError) as raised:
        parse_record(line)
    assert message in str(raised.value)


def test_the_id_is_the_records_own_or_the_line_number():
    assert record_id({"id": "d1"}, 7) == "d1"
    assert record_id({"id": 12}, 7) == 12
    assert record_id({}, 7) == 7
    for value in (None, True, 1.5, ["d1"]):
        with pytest.raises(RecordError, match="id: got"):
            record_id({"id": value}, 7)


def test_a_message_stays_short_however_long_the_value():
    with pytest.raises(RecordError) as raised:
        READER.read({"voltage": "x" * 10**6, "height": 0.1})
    assert len(str(raised.value)) < 200


def test_a_hostile_feed_of_ever_new_keys_does_not_fill_memory():
    reader = RecordReader(INPUTS)
    for number in range(3000):
        reader.read({"voltage": 0.1, "height": 0.2, f"{number:x}": 1, f"{number:x}" * 100: 1})
    assert len(reader._harmless) < 1100


def test_a_record_of_very_many_keys_is_refused_before_they_are_searched():
    with pytest.raises(RecordError, match="got 1002 keys"):
        READER.read({"voltage": 0.1, "height": 0.2, **dict.fromkeys(map(str, range(1000)), 0)})


lines = st.binary(max_size=60) | st.text(max_size=60).map(str.encode)
keys = st.sampled_from([*NAMES, "id"]) | st.text(max_size=12)
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.none(), max_size=2)
objects = st.dictionaries(keys, values, max_size=7).map(lambda value: json.dumps(value).encode())


@given(lines | objects)
def test_whatever_a_line_contains_it_gives_numbers_for_float32_or_a_record_error(line):
    try:
        numbers, out_of_range = READER.read(parse_record(line))
    except RecordError:
        return
    numbers = np.array(numbers)
    assert len(numbers) == len(INPUTS)
    assert np.isfinite(numbers[:2]).all(), "required inputs are there"
    assert (np.isnan(numbers) | (np.abs(numbers) <= np.finfo(np.float32).max)).all()
    for entry, number in zip(INPUTS, numbers, strict=True):
        low, high = entry.limits
        assert (entry.name in out_of_range) == (number < low or number > high)
