"""Incidents as they are known at the end -> whether an event followed in each cell and cutoff's horizon."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.clocks import are_dated, counted_at, label_known_from
from pipeline.features.events import Floats, LabelEvents
from pipeline.model.cells import Cells, index_of, locate
from pipeline.params.datasets import Label
from pipeline.storage.versions import latest


def label_events(incidents: pa.Table, label: Label, cells: Cells, *, resolution: int, trust: Floats) -> LabelEvents:
    """Select the events to be predicted among the latest versions of the incidents; what was withdrawn is none.

    Parameters
    ----------
    incidents
        `schemas.INCIDENTS`, all versions, n rows.
    label
        The event to be predicted.
    cells
        Sorted, shape (cells,).
    resolution
        Of the cells, as H3 counts it.
    trust
        How far each row is trusted, 0 to 1, NaN where not known, shape (n,).
    """
    row = pa.array(np.arange(incidents.num_rows))
    final = incidents.append_column("row", row).filter(pa.array(np.isfinite(label_known_from(incidents, label))))
    final = latest(final)
    dated = are_dated(final)
    placed = pc.is_valid(final["latitude_deg"]).to_numpy()
    usable = final.filter(pa.array(dated & placed))
    at = locate(usable["latitude_deg"].to_numpy(), usable["longitude_deg"].to_numpy(), resolution=resolution)
    cell, inside = index_of(at, cells)
    occurred = counted_at(usable)
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
        trust[usable["row"].to_numpy()][order],
        _reporters(incidents, usable["incident_id"])[order],
        left_out,
    )


def labels(events: LabelEvents, cutoffs: Floats, *, ends: Floats, cells: int, until: float) -> npt.NDArray[np.int8]:
    """Return for each cutoff and cell whether an event occurred in [cutoff, end).

    Parameters
    ----------
    events
        The events to be predicted.
    cutoffs, ends
        Midnights a horizon apart, days since 1970, shape (t,).
    cells
        Number of cells.
    until
        End of the data: a horizon that reaches past it gives -1, not known.

    Returns
    -------
    ndarray of int8, shape (t, cells)
    """
    outcome = np.zeros((len(cutoffs), cells), dtype=np.int8)
    for t, followed in enumerate(_between(events.occurred, cutoffs, ends)):
        outcome[t, events.cell[followed]] = 1
    outcome[ends > until] = -1
    return outcome


def label_trust(events: LabelEvents, cutoffs: Floats, *, ends: Floats, cells: int) -> npt.NDArray[np.float32]:
    """Return the mean trust in the events behind each of `labels`; NaN where no event is judged.

    Parameters
    ----------
    events, cutoffs, ends, cells
        As for `labels`.

    Returns
    -------
    ndarray of float32, shape (t, cells)
    """
    judged = ~np.isnan(events.trust)
    cell, occurred, trusted = events.cell[judged], events.occurred[judged], events.trust[judged]
    mean = np.full((len(cutoffs), cells), np.nan, dtype=np.float32)
    for t, followed in enumerate(_between(occurred, cutoffs, ends)):
        count = np.bincount(cell[followed], minlength=cells)
        total = np.bincount(cell[followed], weights=trusted[followed], minlength=cells)
        np.divide(total, count, out=mean[t], where=count > 0, casting="same_kind")
    return mean


def label_reporters(events: LabelEvents, cutoffs: Floats, *, ends: Floats, cells: int) -> pa.Array:
    """Return who has reported the events behind each of `labels`, null where there are none.

    Parameters
    ----------
    events, cutoffs, ends, cells
        As for `labels`.

    Returns
    -------
    string array, shape (t * cells,)
        Sorted sources, joined by ``+``: whose reports a model has learned from. It is no feature.
    """
    reporters: dict[int, set[str]] = {}
    for t, followed in enumerate(_between(events.occurred, cutoffs, ends)):
        for cell, sources in zip(events.cell[followed].tolist(), events.reported_by[followed].tolist(), strict=True):
            reporters.setdefault(t * cells + cell, set()).update(sources.split("+"))
    column = np.full(len(cutoffs) * cells, None, dtype=object)
    for row, names in reporters.items():
        column[row] = "+".join(sorted(names))
    return pa.array(column, pa.string())


def _between(occurred: Floats, cutoffs: Floats, ends: Floats) -> Iterator[slice]:
    """Yield for each cutoff where the events in [cutoff, end) stand."""
    start, end = np.searchsorted(occurred, [cutoffs, ends], side="left")
    yield from map(slice, start, end)


def _reporters(incidents: pa.Table, incident_id: pa.ChunkedArray) -> npt.NDArray[np.str_]:
    """Return by whom each of these incidents was ever reported, in any version."""
    pairs = incidents.select(["incident_id", "source_id"]).group_by(["incident_id", "source_id"]).aggregate([])
    pairs = pairs.sort_by([("incident_id", "ascending"), ("source_id", "ascending")])
    joined = pairs.group_by("incident_id", use_threads=False).aggregate([("source_id", "list")])
    texts = pc.binary_join(joined["source_id_list"], "+")
    place = pc.index_in(incident_id, value_set=joined["incident_id"])
    return np.asarray(texts.take(place).to_pylist(), dtype=np.str_)
