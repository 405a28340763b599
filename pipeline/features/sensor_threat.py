"""Detections -> a row for each alarm: its outcome, its group, and the matrix that the field computes as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.catalogue import Feature
from pipeline.params.datasets import Measured
from pipeline.storage.schemas import UTC
from pipeline.storage.versions import latest
from threat_scorer.scoring.features import assemble, derived_of


@dataclass(frozen=True)
class SensorRows:
    """The rows of the sensor model."""

    table: pa.Table
    """``detection_id``, ``record_id``, ``group_id``, ``observed_at``, ``label`` (null: not known), and the features."""
    features: tuple[Feature, ...]
    """The log-linear baseline reads those that are never missing; the trees do not read those of a basis."""
    counts: dict[str, int]


def build(detections: pa.Table, measured: Mapping[str, Measured], *, random_groups: int | None = None) -> SensorRows:
    """Build the rows of the sensor model from the latest versions of the detections.

    Parameters
    ----------
    detections
        `tables.detections` of the measured features, all versions; a withdrawn detection is none.
    measured
        Inputs of the model in order.
    random_groups
        Number of random groups that the rows are split into, each with its share of every outcome; None where the
        detections have groups of their own.
    """
    standing = latest(detections)
    names, matrix = assemble("sensor_threat", {name: standing[name].to_numpy() for name in measured})
    features = _feature_list(measured)
    outcome = standing["outcome"]
    label = pc.if_else(pc.equal(outcome, "unknown"), None, pc.equal(outcome, "hazard").cast(pa.int8()))
    rows = {
        "detection_id": standing["detection_id"],
        "record_id": standing["record_id"],
        "group_id": standing["group_id"] if random_groups is None else _at_random(outcome, random_groups),
        "observed_at": standing["observed_at"],
        "label": label,
        **{name: np.ascontiguousarray(matrix[:, j]) for j, name in enumerate(names)},
    }
    counts = {"detections": standing.num_rows, "outcome_unknown": label.null_count}
    return SensorRows(table=pa.table(rows, schema=schema(features)), features=features, counts=counts)


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


def _at_random(outcome: pa.Array, count: int) -> pa.Array:
    words = outcome.to_numpy(zero_copy_only=False).astype(np.str_)
    places = np.lexsort((np.random.default_rng(0).random(len(words)), words))
    groups = np.empty(len(words), dtype=np.int64)
    groups[places] = np.arange(len(words)) % count
    return pa.array([f"random {group:02}" for group in groups])


def _feature_list(measured: Mapping[str, Measured]) -> tuple[Feature, ...]:
    """Return what each column of `assemble` is: the inputs, then what is derived from them."""
    inputs = [
        Feature(name, entry.unit, entry.meaning, "measured", group=name, statistic="measured", linear=entry.required)
        for name, entry in measured.items()
    ]
    derived = [
        Feature(
            feature.name,
            feature.unit,
            feature.meaning,
            feature.source,
            group=entry.group,
            statistic="derived",
            linear=all(measured[need].required for need in entry.needs),
            trees=not entry.is_basis,
        )
        for entry in derived_of("sensor_threat", measured)
        for feature in entry.features
    ]
    return (*inputs, *derived)
