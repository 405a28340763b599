"""Incidents, observations and places -> a row for each cutoff and cell: labels, and features known at the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.features import groups
from pipeline.features.events import DAY_US, Events, incident_events, observation_events
from pipeline.features.groups import Family
from pipeline.features.labels import LabelEvents, label_events, label_reporters, label_trust, labels
from pipeline.features.theatre import cells_of, refuse_days_without_zone
from pipeline.model import cells as h3cells
from pipeline.model.cells import Cells
from pipeline.params import Admiralty, AreaFeatures, AreaTask, Theatre
from pipeline.runtime.local_days import NO_ZONE, in_zone, later, midnight
from pipeline.storage.schemas import UTC
from pipeline.validation.origins import Instants, cutoffs_of, instant, labels_until
from threat_scorer.scoring.features import Feature


@dataclass(frozen=True)
class AreaRows:
    """The rows of the area model."""

    table: pa.Table
    """``cutoff`` and ``cell``, by which the rows stand; ``label``, whether an event followed within the horizon (null:
    not known), the ``trust`` in it, by whom it was ``reported_by``; the features."""
    features: list[Feature]
    linear: set[str]
    """Names of the features that the model's own baseline reads: the rate that a self-exciting process foretells."""
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
        The theatre has no cells, or no zone though reports are dated to the day.
    """
    refuse_days_without_zone(theatre, incidents=incidents, observations=observations)
    resolution = theatre.h3_resolution
    cells = cells_of(places, incidents, theatre, known_at=midnight(task.test_from, task.zone))
    cutoffs = cutoffs_of(task)
    past = incident_events(incidents, task.label, cells, resolution, admiralty=admiralty)
    seen = observation_events(observations, cells, resolution)
    events = label_events(incidents, task.label, cells, resolution=resolution, admiralty=admiralty)
    found = _families(past, seen, events, places, cells, cutoffs, task, features)
    described = [feature for family in found for feature in family.features]
    matrix = np.empty((len(cutoffs), len(cells), len(described)), dtype=np.float32)
    for t, blocks in enumerate(zip(*(family.blocks for family in found), strict=True)):
        matrix[t] = np.concatenate(blocks, axis=1)
    said = _labels(events, cutoffs, task, cells=len(cells))
    table = _table(cells, cutoffs, said, schema(described, zone=task.zone), matrix)
    counts = {"cells": len(cells), "cutoffs": len(cutoffs), "label_events": len(events.cell)}
    return AreaRows(table, described, {groups.HAWKES}, {**counts, **events.left_out})


def _families(
    past: Events,
    seen: Events,
    happened: LabelEvents,
    places: pa.Table,
    cells: Cells,
    cutoffs: Instants,
    task: AreaTask,
    features: AreaFeatures,
) -> list[Family]:
    half_lives, since = features.half_lives_days, _day(task.history_from, task)
    past, seen = past.since(since), seen.since(since)
    rings = h3cells.ring_matrices(cells, features.rings)
    spreads = {spread: h3cells.spread_matrix(cells, spread) for spread in features.spreads_cells}
    label, explosion = past.select("label"), past.select("explosion")
    at, n = _days(cutoffs), len(cells)
    return [
        groups.decayed(past, at, since=since, half_lives_days=half_lives, rings=rings, source="incidents"),
        groups.decayed(seen, at, since=since, half_lives_days=half_lives, rings=rings, source="observations"),
        groups.running_mean(label, at, since=since, rings=rings),
        groups.theatre_level(label, at, since=since, half_lives_days=half_lives, cells=n),
        groups.density(label, at, since=since, half_lives_days=half_lives, spreads=spreads),
        groups.self_exciting(
            label,
            happened,
            at,
            since=since,
            ends=_days(later(cutoffs, task.cutoff_every_days, task.zone)),
            until=_day(task.test_from, task),
            half_lives_days=features.hawkes_half_lives_days,
            spreads=spreads,
        ),
        groups.recency(label, at, since=since, cells=n),
        groups.recency(explosion, at, since=since, cells=n),
        groups.last_period(
            label,
            at,
            starts=_days(later(cutoffs, -task.horizon_days, task.zone)),
            window_days=task.horizon_days,
            cells=n,
        ),
        groups.calendar(at, cells=n),
        groups.ground(places, cells, cutoffs),
    ]


def _labels(events: LabelEvents, cutoffs: Instants, task: AreaTask, *, cells: int) -> list[pa.Array]:
    """Return the label, the trust in it, and who reported what it rests on."""
    at, ends = _days(cutoffs), _days(labels_until(cutoffs, task))
    outcome = labels(events, at, ends=ends, cells=cells, until=_day(task.test_until, task)).ravel()
    trust = label_trust(events, at, ends=ends, cells=cells).ravel()
    return [
        pa.array(outcome, pa.int8(), mask=outcome < 0),
        pa.array(trust, pa.float32(), from_pandas=True),
        label_reporters(events, at, ends=ends, cells=cells),
    ]


def schema(features: Sequence[Feature], *, zone: str = NO_ZONE) -> pa.Schema:
    """Return the schema of the rows; the field ``cutoff`` says of which zone's midnights it is."""
    return pa.schema(
        [
            in_zone(pa.field("cutoff", UTC, nullable=False), zone),
            pa.field("cell", pa.string(), nullable=False),
            pa.field("label", pa.int8()),
            pa.field("trust", pa.float32()),
            pa.field("reported_by", pa.string()),
            *(pa.field(feature.name, pa.float32()) for feature in features),
        ]
    )


def _table(
    cells: Cells,
    cutoffs: Instants,
    said: list[pa.Array],
    rows: pa.Schema,
    matrix: npt.NDArray[np.float32],
) -> pa.Table:
    each_cell = np.tile(np.arange(len(cells), dtype=np.int32), len(cutoffs))
    flat = matrix.reshape(-1, matrix.shape[-1])
    columns: list[pa.Array] = [
        pa.array(np.repeat(cutoffs, len(cells)), UTC),
        pa.DictionaryArray.from_arrays(each_cell, h3cells.names(cells)).cast(pa.string()),
        *said,
        *(pa.array(np.ascontiguousarray(flat[:, j])) for j in range(flat.shape[1])),
    ]
    return pa.table(columns, schema=rows)


def _days(moments: Instants) -> npt.NDArray[np.float64]:
    return moments.astype("datetime64[us]").astype(np.int64) / DAY_US


def _day(day: date, task: AreaTask) -> float:
    return float(_days(np.array([instant(midnight(day, task.zone))]))[0])
