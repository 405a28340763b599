"""Incidents, observations and places -> a row for each cutoff and cell: labels, and features known at the cutoff."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import cells as h3cells
from pipeline.cells import Cells
from pipeline.features import families
from pipeline.features.events import DAY_US, incident_events, observation_events
from pipeline.features.families import Family
from pipeline.features.labels import label_events, label_trust, labels
from pipeline.features.theatre import cells_of
from pipeline.params import Admiralty, AreaFeatures, AreaTask, Theatre, midnight
from pipeline.splits import Instants, cutoffs_of, instant
from pipeline.tables import UTC
from threat_scorer.features import Feature

KEY = ("cutoff", "cell")
# the level of the whole theatre is left to the trees: a line would carry it on beyond what was seen
_LINEAR = re.compile(r"(label|explosion)_log1p_(?!.*_theatre$)")


@dataclass(frozen=True)
class AreaRows:
    """The rows of the area model."""

    table: pa.Table
    """`KEY`, a label and the trust in it for each horizon, the features; by cutoff and cell."""
    features: list[Feature]
    linear: set[str]
    """Names of the features that the log-linear baseline reads: the history of the label and of explosions."""
    counts: dict[str, int]
    """Cells, cutoffs, and the label events that no row can hold."""


def build(
    incidents: pa.Table,
    observations: pa.Table,
    places: pa.Table,
    *,
    theatre: Theatre,
    task: AreaTask,
    features: AreaFeatures,
    admiralty: Admiralty,
) -> AreaRows:
    """Build the rows of the area model from the canonical tables, all versions of them.

    Raises
    ------
    StageError
        The theatre has no cells.
    """
    resolution = theatre.h3_resolution
    cells = cells_of(places, incidents, theatre, known_at=midnight(task.test_from))
    cutoffs = cutoffs_of(task)
    found = _families(incidents, observations, places, cells, cutoffs, theatre, task, features, admiralty)
    described = [feature for family in found for feature in family.features]
    matrix = np.empty((len(cutoffs), len(cells), len(described)), dtype=np.float32)
    for t, blocks in enumerate(zip(*(family.blocks for family in found), strict=True)):
        matrix[t] = np.concatenate(blocks, axis=1)
    events = label_events(incidents, task.label, cells, resolution=resolution, admiralty=admiralty)
    outcomes = labels(
        events,
        _days(cutoffs),
        horizons_days=task.horizons_days,
        cells=len(cells),
        until=_day(task.test_until),
    )
    trusted = label_trust(events, _days(cutoffs), horizons_days=task.horizons_days, cells=len(cells))
    said = {
        horizon: (outcome, trust) for horizon, outcome, trust in zip(task.horizons_days, outcomes, trusted, strict=True)
    }
    table = _table(cells, cutoffs, said, described, matrix)
    counts = {"cells": len(cells), "cutoffs": len(cutoffs), "label_events": len(events.cell)}
    linear = {feature.name for feature in described if _LINEAR.match(feature.name)}
    return AreaRows(table, described, linear, {**counts, **events.left_out})


def _families(
    incidents: pa.Table,
    observations: pa.Table,
    places: pa.Table,
    cells: Cells,
    cutoffs: Instants,
    theatre: Theatre,
    task: AreaTask,
    features: AreaFeatures,
    admiralty: Admiralty,
) -> list[Family]:
    resolution, half_lives, since = theatre.h3_resolution, features.half_lives_days, _day(task.history_from)
    past = incident_events(incidents, task.label, cells, resolution, admiralty=admiralty).since(since)
    seen = observation_events(observations, cells, resolution).since(since)
    rings = h3cells.ring_matrices(cells, features.rings)
    label, explosion = past.select("label"), past.select("explosion")
    at, n = _days(cutoffs), len(cells)
    return [
        families.decayed(past, at, since=since, half_lives_days=half_lives, rings=rings, source="incidents"),
        families.decayed(seen, at, since=since, half_lives_days=half_lives, rings=rings, source="observations"),
        families.running_mean(label, at, since=since, rings=rings),
        families.theatre_level(label, at, since=since, half_lives_days=half_lives, cells=n),
        families.recency(label, at, since=since, cells=n),
        families.recency(explosion, at, since=since, cells=n),
        *(families.last_period(label, at, window_days=days, cells=n) for days in task.horizons_days),
        families.calendar(at, cells=n),
        families.ground(places, cells, cutoffs, resolution=resolution),
    ]


def schema(horizons_days: Sequence[int], features: Sequence[Feature]) -> pa.Schema:
    """Return the schema of the rows."""
    return pa.schema(
        [
            pa.field("cutoff", UTC, nullable=False),
            pa.field("cell", pa.string(), nullable=False),
            *(
                field
                for horizon in horizons_days
                for field in (pa.field(f"label_{horizon}d", pa.int8()), pa.field(f"trust_{horizon}d", pa.float32()))
            ),
            *(pa.field(feature.name, pa.float32()) for feature in features),
        ]
    )


def _table(
    cells: Cells,
    cutoffs: Instants,
    said: dict[int, tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]],
    described: list[Feature],
    matrix: npt.NDArray[np.float32],
) -> pa.Table:
    each_cell = np.tile(np.arange(len(cells), dtype=np.int32), len(cutoffs))
    columns: list[pa.Array] = [
        pa.array(np.repeat(cutoffs, len(cells)), UTC),
        pa.DictionaryArray.from_arrays(each_cell, h3cells.names(cells)).cast(pa.string()),
    ]
    for outcome, trust in said.values():
        columns.append(pa.array(outcome.ravel(), pa.int8(), mask=outcome.ravel() < 0))
        columns.append(pa.array(trust.ravel(), pa.float32(), from_pandas=True))
    flat = matrix.reshape(-1, len(described))
    columns += [pa.array(np.ascontiguousarray(flat[:, j])) for j in range(len(described))]
    return pa.table(columns, schema=schema(list(said), described))


def _days(moments: Instants) -> npt.NDArray[np.float64]:
    return moments.astype("datetime64[us]").astype(np.int64) / DAY_US


def _day(day: date) -> float:
    return float(_days(np.array([instant(midnight(day))]))[0])
