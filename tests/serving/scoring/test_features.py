"""Inputs -> matrix: the cast that is the contract, and the derived features, alike by column and by row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_bundle import INPUTS

from threat_scorer.scoring.features import RowAssembler, assemble, derived_of, groups_of
from threat_scorer.scoring.float32 import FeatureError, to_float32

NAMES = [entry.name for entry in INPUTS]
FLOAT32 = st.floats(width=32, allow_infinity=False)


@pytest.mark.parametrize(
    "values",
    [
        [0.5, None, 3],
        np.array([0.5, np.nan, 3]),
        pd.Series([0.5, np.nan, 3]),
        np.array([0.5, None, 3], dtype=object),
        np.ma.array([0.5, 7.0, 3], mask=[False, True, False]),
        np.ma.array([0.5, 7.0, 3], mask=[False, True, False], dtype=np.float32),
        np.ma.array([0.5, 1e300, 3], mask=[False, True, False]),
        [0.5, np.ma.masked, 3],
    ],
)
def test_numbers_of_every_kind_become_float32_and_missing_becomes_nan(values):
    column = to_float32("voltage", values)
    assert column.dtype == np.float32
    np.testing.assert_array_equal(column, np.array([0.5, np.nan, 3], dtype=np.float32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, True], "row 1 = True"),
        (np.array([True, False]), "bool values"),
        (["0.5"], "row 0 = '0.5'"),
        (np.array(["0.5"]), "values; expected numbers"),
        ("0.5", "expected a sequence"),
        (0.5, "expected a sequence"),
        ([0.1, float("inf")], "row 1 = inf"),
        ([1e39], "float32 can hold"),
        ([2**24 + 1], "16777217"),
        ([10**400], "row 0"),
        (np.array([0, -(2**24) - 1]), "row 1 = -16777217"),
        (np.array([2**63], dtype=np.uint64), "row 0"),
        (np.array(["2024-01-01"], dtype="datetime64[us]"), "expected numbers"),
        (np.array([1j]), "complex128"),
        (np.zeros((2, 2)), "shape (2, 2)"),
        (np.ma.array([True, False], mask=[True, False]), "row 1 = False"),
        (np.ma.array([1, 2**24 + 1], mask=[True, False]), "row 1 = 16777217"),
        (np.ma.array([0.5, np.inf], mask=[True, False]), "row 1 = inf"),
        (np.ma.zeros((2, 2)), "shape (2, 2)"),
        (np.ma.masked, "shape ()"),
    ],
)
def test_what_float32_cannot_hold_is_refused_by_name_and_row(values, message):
    with pytest.raises(FeatureError, match=r"^voltage: ") as raised:
        to_float32("voltage", values)
    assert message in str(raised.value)


def test_integers_up_to_the_limit_are_exact():
    limit = 2**24
    assert to_float32("x", np.array([limit, -limit])).astype(np.int64).tolist() == [limit, -limit]


def test_derived_features_match_a_calculation_by_hand():
    names, matrix = assemble(
        "sensor_threat", {"voltage": [0.5], "height": [0.5], "emi_in_phase": [0.6], "emi_quadrature": [-0.8]}
    )
    derived = dict(zip(names, matrix[0].tolist(), strict=True))
    assert derived["voltage_dipole_compensated"] == 0.5 * 1.5**3
    assert derived["emi_amplitude"] == pytest.approx(1.0)
    assert derived["emi_in_phase_share"] == pytest.approx(0.6)


def splines_of(voltage: float) -> dict[str, float]:
    names, matrix = assemble("sensor_threat", {"voltage": [voltage], "height": [0.5]})
    return {name: x for name, x in zip(names, matrix[0].tolist(), strict=True) if name.startswith("voltage_spline")}


def test_splines_match_a_calculation_by_hand():
    splines = splines_of(0.3125)  # an eighth into the fourth tenth
    there = {"voltage_spline_3": 49 / 128, "voltage_spline_4": 39 / 64, "voltage_spline_5": 1 / 128}
    there |= {f"{name}_by_height": x / 2 for name, x in there.items()}
    for name, x in splines.items():
        assert x == pytest.approx(there.get(name, 0.0), abs=1e-6), name


@given(st.floats(-2, 3, width=32), st.floats(0, 1, width=32))
def test_splines_are_none_below_zero_sum_to_one_and_stay_as_they_are_beyond_the_scale(voltage, height):
    names, matrix = assemble("sensor_threat", {"voltage": [voltage], "height": [height]})
    splines = np.array([x for name, x in zip(names, matrix[0], strict=True) if name.startswith("voltage_spline")])
    plain, by_height = splines.reshape(2, -1)
    assert (splines >= 0).all()
    assert plain.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(by_height, plain * height, rtol=1e-6, atol=1e-40)
    assert list(splines_of(voltage).values()) == list(splines_of(min(max(voltage, 0.0), 1.0)).values())


def test_a_missing_voltage_has_no_spline():
    assert np.isnan(list(splines_of(np.nan).values())).all()


def test_a_silent_emi_sensor_has_no_phase_and_a_missing_one_is_missing():
    columns = {"emi_in_phase": [0.0, np.nan], "emi_quadrature": [0.0, 0.1]}
    _, matrix = assemble("sensor_threat", columns)
    np.testing.assert_array_equal(matrix[:, 2:], np.array([[0, 0], [np.nan, np.nan]], dtype=np.float32))


def test_area_risk_passes_its_inputs_through():
    names, matrix = assemble("area_risk", {"b": [1.0, 2.0], "a": [3.0, np.nan]})
    assert names == ("b", "a")
    np.testing.assert_array_equal(matrix, np.array([[1, 3], [2, np.nan]], dtype=np.float32))


@pytest.mark.parametrize("inputs", [NAMES, NAMES[:2], ["height"], ["emi_quadrature", "emi_in_phase"]])
def test_matrix_row_and_groups_are_of_the_same_features(inputs):
    names, _ = assemble("sensor_threat", {name: [0.0] for name in inputs})
    groups = {name: name for name in inputs}
    for entry in derived_of("sensor_threat", inputs):
        groups |= {feature.name: entry.group for feature in entry.features}
    assert dict(zip(names, groups_of("sensor_threat", inputs), strict=True)) == groups
    assert RowAssembler("sensor_threat", inputs).names == names


@given(st.lists(st.tuples(*[FLOAT32 for _ in NAMES]), min_size=1, max_size=9))
def test_a_row_gets_the_same_bits_alone_as_among_others(rows):
    names, matrix = assemble("sensor_threat", dict(zip(NAMES, np.array(rows).T, strict=True)))
    assembler = RowAssembler("sensor_threat", NAMES)
    for values, expected in zip(rows, matrix, strict=True):
        row = np.empty(len(names), dtype=np.float32)
        assembler(list(values), row)
        np.testing.assert_array_equal(row, expected)


def test_columns_of_different_length_and_no_columns_are_refused():
    with pytest.raises(FeatureError, match="lengths"):
        assemble("area_risk", {"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(FeatureError, match="at least one column"):
        assemble("area_risk", {})


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(FeatureError, match=r"'sensor_treat'.*area_risk, sensor_threat"):
        derived_of("sensor_treat", [])
