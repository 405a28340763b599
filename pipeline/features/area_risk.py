"""Incidents, observations and places -> a row for each cutoff and cell: labels, and features known at the cutoff."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from pipeline.features import context, hawkes
from pipeline.features.admiralty import trust
from pipeline.features.events import DAY_US, EventVersions, LabelEvents
from pipeline.features.feature_set import FeatureSet
from pipeline.features.hawkes import Pasts, Process
from pipeline.features.history import decayed_counts, share_of_endless
from pipeline.features.history_features import (
    decayed,
    density,
    last_period,
    predicted_rate,
    recency,
    running_mean,
    theatre_level,
)
from pipeline.features.labels import label_events, label_reporters, label_trust, labels
from pipeline.features.reports import incident_events, observation_events
from pipeline.features.theatre import cells_of, refuse_days_without_zone
from pipeline.model import cells as h3cells
from pipeline.model.catalogue import Feature
from pipeline.model.cells import Cells
from pipeline.model.cutoffs import Instants, cutoffs_of, instant, labels_until
from pipeline.params.datasets import Admiralty, AreaTask, Theatre
from pipeline.params.stages import AreaFeatures
from pipeline.runtime.local_days import NO_ZONE, in_zone, later, midnight
from pipeline.storage.schemas import UTC

Floats = npt.NDArray[np.float64]
Sparse: TypeAlias = sparse.csr_array[Any, Any]


@dataclass(frozen=True)
class AreaRows:
    """The rows of the area model."""

    table: pa.Table
    """``cutoff`` and ``cell``, by which the rows are sorted. ``label``: whether an event followed within the horizon
    (null: not known). ``trust`` in it, and the sources that it was ``reported_by``. The features."""
    features: tuple[Feature, ...]
    process: Process
    """The self-exciting process, fitted on the training period, whose rate is one of the features."""
    counts: dict[str, int]
    """Cells, cutoffs, and the label events that belong to no row."""


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

    Parameters
    ----------
    incidents, observations, places
        `schemas.INCIDENTS`, `schemas.OBSERVATIONS` and `schemas.PLACES`.
    theatre
        Its cells and its zone.
    task
        Label, horizon and cutoffs; what is fitted is fitted on what happened before `test_from`.
    features
        Half-lives, rings and spreads.
    admiralty
        How far each code is trusted.

    Raises
    ------
    StageError
        The theatre has no cells, or no zone though reports are dated to the day.
    """
    refuse_days_without_zone(theatre, incidents=incidents, observations=observations)
    resolution, trusted = theatre.h3_resolution, trust(incidents, admiralty)
    cells = cells_of(places, incidents, theatre, moment=midnight(task.test_from, task.zone))
    frame = _Frame.of(cells, task, features)
    reported = incident_events(incidents, task.label, cells, resolution=resolution, trust=trusted).since(frame.since)
    observed = observation_events(observations, cells, resolution=resolution).since(frame.since)
    events = label_events(incidents, task.label, cells, resolution=resolution, trust=trusted)
    counts = _label_counts(reported.select("label"), frame)
    pasts = Pasts(tuple(features.hawkes_half_lives_days), frame.spreads, frame.since)
    of_process = counts[:, :, len(frame.half_lives_days) :]
    ends = _days(later(frame.cutoffs, task.cutoff_every_days, task.zone))
    process = hawkes.fit(pasts, of_process, frame.at, events, ends=ends, until=_day(task.test_from, task))
    sets = _sets(reported, observed, places, frame, counts, process.rates(pasts, of_process, frame.at), task)
    described, matrix = _matrix(sets, frame)
    outcome = _labels(events, frame.cutoffs, task, cells=len(cells))
    table = _table(cells, frame.cutoffs, outcome, schema(described, zone=task.zone), matrix)
    written = {"cells": len(cells), "cutoffs": len(frame.cutoffs), "label_events": len(events.cell)}
    return AreaRows(table, described, process, {**written, **events.left_out})


@dataclass(frozen=True)
class _Frame:
    """The cells and cutoffs of the rows, and how the history before them is summed up."""

    cells: Cells
    cutoffs: Instants
    at: Floats
    """The cutoffs in days since 1970, shape (t,)."""
    since: float
    """Start of the history, days since 1970."""
    half_lives_days: Sequence[float]
    hawkes_half_lives_days: Sequence[float]
    rings: Sequence[Sparse]
    spreads: Mapping[float, Sparse]

    @classmethod
    def of(cls, cells: Cells, task: AreaTask, features: AreaFeatures) -> "_Frame":
        """Lay out cells and cutoffs.

        Parameters
        ----------
        cells
            Sorted, shape (cells,).
        task
            Its cutoffs, and the start of the history.
        features
            Half-lives, rings and spreads.
        """
        cutoffs = cutoffs_of(task)
        return cls(
            cells=cells,
            cutoffs=cutoffs,
            at=_days(cutoffs),
            since=_day(task.history_from, task),
            half_lives_days=features.half_lives_days,
            hawkes_half_lives_days=features.hawkes_half_lives_days,
            rings=h3cells.ring_matrices(cells, features.rings),
            spreads={spread: h3cells.spread_matrix(cells, spread) for spread in features.spreads_cells},
        )


def _label_counts(label: EventVersions, frame: _Frame) -> Floats:
    """Return the label's decayed counts, shape (t, cells, half-lives of the features, of the process, without end)."""
    half_lives = [*frame.half_lives_days, *frame.hawkes_half_lives_days, math.inf]
    counts = np.empty((len(frame.at), len(frame.cells), len(half_lives)))
    for t, count in enumerate(decayed_counts(label, frame.at, half_lives_days=half_lives, cells=len(frame.cells))):
        counts[t] = count
    return counts


def _sets(
    reported: EventVersions,
    observed: EventVersions,
    places: pa.Table,
    frame: _Frame,
    counts: Floats,
    rates: Iterable[Floats],
    task: AreaTask,
) -> list[FeatureSet]:
    at, n, since, half_lives, rings = frame.at, len(frame.cells), frame.since, frame.half_lives_days, frame.rings
    label, explosion = reported.select("label"), reported.select("explosion")
    shares = share_of_endless(at, since=since, half_lives_days=np.asarray(half_lives, dtype=np.float64))
    endless = counts[:, :, : len(half_lives)] / shares[:, None, :]
    starts = _days(later(frame.cutoffs, -task.horizon_days, task.zone))
    return [
        decayed(reported, at, since=since, half_lives_days=half_lives, rings=rings, source="incidents"),
        decayed(observed, at, since=since, half_lives_days=half_lives, rings=rings, source="observations"),
        running_mean(counts[:, :, -1], at, since=since, rings=rings),
        theatre_level(endless, half_lives_days=half_lives),
        density(endless, half_lives_days=half_lives, spreads=frame.spreads),
        predicted_rate(rates),
        recency(label, at, since=since, cells=n),
        recency(explosion, at, since=since, cells=n),
        last_period(label, at, starts=starts, window_days=task.horizon_days, cells=n),
        context.calendar(at, cells=n),
        context.ground(places, frame.cells, frame.cutoffs),
    ]


def _matrix(sets: Sequence[FeatureSet], frame: _Frame) -> tuple[tuple[Feature, ...], npt.NDArray[np.float32]]:
    """Return what each feature is, and the values of all, float32 of shape (features, t, cells)."""
    described = tuple(feature for subset in sets for feature in subset.features)
    # feature-major: a column of the table is then one piece of memory, and is not copied again
    matrix = np.empty((len(described), len(frame.cutoffs), len(frame.cells)), dtype=np.float32)
    first = 0
    for subset in sets:
        last = first + len(subset.features)
        for t, values in zip(range(len(frame.cutoffs)), subset.values, strict=True):
            matrix[first:last, t] = values.T
        first = last
    return described, matrix


def _labels(events: LabelEvents, cutoffs: Instants, task: AreaTask, *, cells: int) -> list[pa.Array]:
    """Return the label, the trust in it, and who reported what it rests on."""
    at, ends = _days(cutoffs), _days(labels_until(cutoffs, task))
    outcome = labels(events, at, ends=ends, cells=cells, until=_day(task.test_until, task)).ravel()
    mean_trust = label_trust(events, at, ends=ends, cells=cells).ravel()
    return [
        pa.array(outcome, pa.int8(), mask=outcome < 0),
        pa.array(mean_trust, pa.float32(), from_pandas=True),
        label_reporters(events, at, ends=ends, cells=cells),
    ]


def schema(features: Sequence[Feature], *, zone: str = NO_ZONE) -> pa.Schema:
    """Return the schema of the rows; its metadata name the zone whose midnights are the cutoffs."""
    rows = pa.schema(
        [
            pa.field("cutoff", UTC, nullable=False),
            pa.field("cell", pa.string(), nullable=False),
            pa.field("label", pa.int8()),
            pa.field("trust", pa.float32()),
            pa.field("reported_by", pa.string()),
            *(pa.field(feature.name, pa.float32()) for feature in features),
        ]
    )
    return in_zone(rows, zone)


def _table(
    cells: Cells, cutoffs: Instants, outcome: list[pa.Array], rows: pa.Schema, matrix: npt.NDArray[np.float32]
) -> pa.Table:
    each_cell = np.tile(np.arange(len(cells), dtype=np.int32), len(cutoffs))
    columns: list[pa.Array] = [
        pa.array(np.repeat(cutoffs, len(cells)), UTC),
        pa.DictionaryArray.from_arrays(each_cell, h3cells.names(cells)).cast(pa.string()),
        *outcome,
        *(pa.array(column.ravel()) for column in matrix),
    ]
    return pa.table(columns, schema=rows)


def _days(moments: Instants) -> Floats:
    return moments.astype("datetime64[us]").astype(np.int64) / DAY_US


def _day(day: date, task: AreaTask) -> float:
    return float(_days(np.array([instant(midnight(day, task.zone))]))[0])
