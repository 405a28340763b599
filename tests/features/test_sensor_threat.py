"""Rows of the sensor model: the field's own matrix, and labels that do not guess."""

import numpy as np
import pyarrow as pa
from support.area_case import day, table

from pipeline.features import sensor_threat
from pipeline.params import Measured
from pipeline.storage import schemas
from threat_scorer.scoring.features import assemble, groups_of

MEASURED = {
    "voltage": Measured("1", 0.0, 1.0, True, "output"),
    "height": Measured("1", 0.0, 1.0, True, "height"),
    "emi_in_phase": Measured("1", -2.0, 2.0, False, "in phase"),
    "emi_quadrature": Measured("1", -2.0, 2.0, False, "quadrature"),
}


def detection(name: str, outcome: str, **more) -> dict:
    times = {"observed_at": day("2020-01-01"), "available_at": day("2020-01-02")}
    return {"detection_id": name, "outcome": outcome, "voltage": 0.5, "height": 0.25, **times, **more}


def build(*rows: dict) -> sensor_threat.SensorRows:
    return sensor_threat.build(table(schemas.detections(MEASURED).schema, rows), MEASURED)


def test_the_matrix_is_the_one_that_the_field_computes() -> None:
    rows = build(detection("a", "hazard", emi_in_phase=0.3, emi_quadrature=0.4), detection("b", "clutter"))
    columns = {name: rows.table[name].to_numpy() for name in MEASURED}
    names, matrix = assemble("sensor_threat", columns)
    assert [feature.name for feature in rows.features] == list(names)
    result = np.column_stack([rows.table[name].to_numpy() for name in names])
    np.testing.assert_array_equal(result, matrix)
    assert rows.table.schema.field("voltage").type == pa.float32()


def test_the_label_is_the_outcome_and_null_where_it_is_unknown() -> None:
    rows = build(detection("a", "hazard"), detection("b", "clutter"), detection("c", "unknown"))
    assert rows.table["label"].to_pylist() == [1, 0, None]
    assert rows.counts == {"detections": 3, "outcome_unknown": 1}


def test_only_the_latest_version_of_a_detection_is_a_row() -> None:
    first = detection("a", "unknown", superseded_at=day("2020-02-01"))
    rows = build(first, detection("a", "hazard", available_at=day("2020-02-01")))
    assert rows.table["label"].to_pylist() == [1]


def test_the_baseline_reads_only_what_a_record_must_have() -> None:
    rows = build(detection("a", "hazard"))
    linear = {feature.name for feature in rows.features if feature.linear}
    assert {"voltage", "height"} <= linear
    assert not [name for name in linear if name.startswith("emi")]


def test_trees_do_not_read_what_means_something_in_sums_only() -> None:
    rows = build(detection("a", "hazard"))
    only_linear = {feature.name for feature in rows.features if not feature.trees}
    linear = {feature.name for feature in rows.features if feature.linear}
    assert only_linear == {name for name in linear if name.startswith("voltage_spline")}
    assert len(only_linear) == 24


def test_the_groups_are_those_that_the_field_tells_as_reasons() -> None:
    rows = build(detection("a", "hazard"))
    assert [feature.group for feature in rows.features] == list(groups_of("sensor_threat", list(MEASURED)))
