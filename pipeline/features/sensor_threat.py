"""Detections -> a row for each alarm: its outcome, its group, and the matrix that the field computes as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.params import Measured
from pipeline.tables import UTC
from threat_scorer.features import Feature, assemble, catalogue, derived_of

KEY = ("detection_id",)


@dataclass(frozen=True)
class SensorRows:
    """The rows of the sensor model."""

    table: pa.Table
    """`KEY`, ``record_id``, ``group_id``, ``observed_at``, ``label`` (null: not known), and the features."""
    features: Sequence[Feature]
    may_be_missing: set[str]
    """Optional inputs, and what is computed from them."""
    counts: dict[str, int]


def build(detections: pa.Table, measured: Mapping[str, Measured]) -> SensorRows:
    """Build the rows of the sensor model from the latest versions of the detections.

    Parameters
    ----------
    detections
        `tables.detections` of the measured features, all versions; a withdrawn detection is none.
    measured
        Inputs of the model in order.
    """
    latest = detections.filter(pc.is_null(detections["superseded_at"]))
    names, matrix = assemble("sensor_threat", {name: latest[name].to_numpy() for name in measured})
    inputs = [Feature(name, entry.unit, entry.meaning, "measured") for name, entry in measured.items()]
    features = catalogue("sensor_threat", inputs)
    outcome = latest["outcome"]
    label = pc.if_else(pc.equal(outcome, "unknown"), None, pc.equal(outcome, "hazard").cast(pa.int8()))
    rows = {
        "detection_id": latest["detection_id"],
        "record_id": latest["record_id"],
        "group_id": latest["group_id"],
        "observed_at": latest["observed_at"],
        "label": label,
        **{name: np.ascontiguousarray(matrix[:, j]) for j, name in enumerate(names)},
    }
    counts = {"detections": latest.num_rows, "outcome_unknown": label.null_count}
    return SensorRows(pa.table(rows, schema=schema(features)), features, _may_be_missing(measured), counts)


def schema(features: Sequence[Feature]) -> pa.Schema:
    """Return the schema of the rows."""
    return pa.schema(
        [
            pa.field("detection_id", pa.string(), nullable=False),
            pa.field("record_id", pa.string(), nullable=False),
            pa.field("group_id", pa.string(), nullable=False),
            pa.field("observed_at", UTC, nullable=False),
            pa.field("label", pa.int8()),
            *(pa.field(feature.name, pa.float32()) for feature in features),
        ]
    )


def _may_be_missing(measured: Mapping[str, Measured]) -> set[str]:
    optional = {name for name, entry in measured.items() if not entry.required}
    derived = derived_of("sensor_threat", measured)
    return optional | {entry.feature.name for entry in derived if not optional.isdisjoint(entry.needs)}
