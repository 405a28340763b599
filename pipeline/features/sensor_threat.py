"""Detections -> a row for each alarm: its outcome, its group, and the matrix that the field computes as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.params import Measured
from pipeline.storage.schemas import UTC
from pipeline.storage.versions import latest
from threat_scorer.scoring.features import Feature, assemble, catalogue, derived_of


@dataclass(frozen=True)
class SensorRows:
    """The rows of the sensor model."""

    table: pa.Table
    """``detection_id``, ``record_id``, ``group_id``, ``observed_at``, ``label`` (null: not known), and the features."""
    features: Sequence[Feature]
    linear: set[str]
    """Names of the features that the log-linear baseline reads: those that are never missing."""
    only_linear: set[str]
    """Names of those that the trees do not read."""
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
        Into how many groups that mean nothing the rows are parted, each with its part of every outcome; None where the
        detections have groups of their own.
    """
    standing = latest(detections)
    names, matrix = assemble("sensor_threat", {name: standing[name].to_numpy() for name in measured})
    inputs = [Feature(name, entry.unit, entry.meaning, "measured") for name, entry in measured.items()]
    features = catalogue("sensor_threat", inputs)
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
    basis = (entry.features for entry in derived_of("sensor_threat", measured) if entry.is_basis)
    return SensorRows(
        table=pa.table(rows, schema=schema(features)),
        features=features,
        linear=_never_missing(measured),
        only_linear={feature.name for some in basis for feature in some},
        counts=counts,
    )


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


def _never_missing(measured: Mapping[str, Measured]) -> set[str]:
    required = {name for name, entry in measured.items() if entry.required}
    derived = derived_of("sensor_threat", measured)
    computed = (entry.features for entry in derived if required.issuperset(entry.needs))
    return required | {feature.name for features in computed for feature in features}
