"""Incidents as they are known at the end -> whether an event fell into each cell within the horizon of each cutoff."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.admiralty import trust
from pipeline.features.events import are_dated, label_known_from, moments
from pipeline.model.cells import Cells, index_of, locate
from pipeline.params import Admiralty, Label
from pipeline.storage.versions import latest

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelEvents:
    """The events to be predicted, on cells."""

    cell: npt.NDArray[np.int64]
    """Index of the cell, shape (n,)."""
    occurred: Floats
    """As `events.moments` says: days since 1970 UTC, ascending, shape (n,)."""
    trust: Floats
    """How far the report of each is trusted, NaN where nothing says, shape (n,)."""
    reported_by: npt.NDArray[np.str_]
    """The sources that have reported each, sorted and joined by ``+``, shape (n,)."""
    left_out: dict[str, int]
    """Events that no cell and horizon can hold, by reason."""


def label_events(
    incidents: pa.Table, label: Label, cells: Cells, *, resolution: int, admiralty: Admiralty
) -> LabelEvents:
    """Select the events to be predicted among the latest versions of the incidents; what was withdrawn is none."""
    final = incidents.filter(pa.array(np.isfinite(label_known_from(incidents, label))))
    final = latest(final)
    dated = are_dated(final)
    placed = pc.is_valid(final["latitude_deg"]).to_numpy()
    usable = final.filter(pa.array(dated & placed))
    at = locate(usable["latitude_deg"].to_numpy(), usable["longitude_deg"].to_numpy(), resolution=resolution)
    cell, inside = index_of(at, cells)
    occurred = moments(usable)
    order = np.flatnonzero(inside)
    order = order[np.lexsort((cell[order], occurred[order]))]
    left_out = {
        "date_not_to_the_day": int((~dated).sum()),
        "no_position": int((dated & ~placed).sum()),
        "outside_theatre": int((~inside).sum()),
    }
    return LabelEvents(
        cell[order],
        occurred[order],
        trust(usable, admiralty)[order],
        _reporters(incidents, usable["incident_id"])[order],
        left_out,
    )


def labels(
    events: LabelEvents,
    cutoffs: Floats,
    *,
    ends: Floats,
    cells: int,
    until: float,
) -> npt.NDArray[np.int8]:
    """Return for each cutoff and cell whether an event occurred in [cutoff, end).

    Parameters
    ----------
    cutoffs, ends
        Midnights a horizon apart, days since 1970, shape (t,).
    until
        End of the data: a horizon that reaches past it gives -1, not known.

    Returns
    -------
    ndarray of int8, shape (t, cells)
    """
    found = np.zeros((len(cutoffs), cells), dtype=np.int8)
    for t, some in enumerate(_between(events.occurred, cutoffs, ends)):
        found[t, events.cell[some]] = 1
    found[ends > until] = -1
    return found


def label_trust(events: LabelEvents, cutoffs: Floats, *, ends: Floats, cells: int) -> npt.NDArray[np.float32]:
    """Return the mean trust in the events on which each of `labels` rests; NaN where there are none, or none is judged.

    Returns
    -------
    ndarray of float32, shape (t, cells)
    """
    judged = ~np.isnan(events.trust)
    cell, occurred, trusted = events.cell[judged], events.occurred[judged], events.trust[judged]
    found = np.full((len(cutoffs), cells), np.nan, dtype=np.float32)
    for t, some in enumerate(_between(occurred, cutoffs, ends)):
        count = np.bincount(cell[some], minlength=cells)
        total = np.bincount(cell[some], weights=trusted[some], minlength=cells)
        np.divide(total, count, out=found[t], where=count > 0, casting="same_kind")
    return found


def label_reporters(events: LabelEvents, cutoffs: Floats, *, ends: Floats, cells: int) -> pa.Array:
    """Return who has reported the events on which each of `labels` rests, null where there are none.

    Returns
    -------
    string array, shape (t * cells,)
        Sorted sources, joined by ``+``: it says whose reports a model has learned from, and is no feature.
    """
    told: dict[int, set[str]] = {}
    for t, some in enumerate(_between(events.occurred, cutoffs, ends)):
        for cell, sources in zip(events.cell[some].tolist(), events.reported_by[some].tolist(), strict=True):
            told.setdefault(t * cells + cell, set()).update(sources.split("+"))
    column = np.full(len(cutoffs) * cells, None, dtype=object)
    for row, names in told.items():
        column[row] = "+".join(sorted(names))
    return pa.array(column, pa.string())


def _between(occurred: Floats, cutoffs: Floats, ends: Floats) -> Iterator[slice]:
    """Yield for each cutoff where the events in [cutoff, end) stand."""
    start, end = np.searchsorted(occurred, [cutoffs, ends], side="left")
    yield from map(slice, start, end)


def _reporters(incidents: pa.Table, incident_id: pa.ChunkedArray) -> npt.NDArray[np.str_]:
    """Return by whom each of some incidents was ever reported, in any version."""
    pairs = incidents.select(["incident_id", "source_id"]).group_by(["incident_id", "source_id"]).aggregate([])
    pairs = pairs.sort_by([("incident_id", "ascending"), ("source_id", "ascending")])
    joined = pairs.group_by("incident_id", use_threads=False).aggregate([("source_id", "list")])
    texts = pc.binary_join(joined["source_id_list"], "+")
    place = pc.index_in(incident_id, value_set=joined["incident_id"])
    return np.asarray(texts.take(place).to_pylist(), dtype=np.str_)
