"""Incidents and observations -> weighted events on the theatre's cells, each with the two clocks of its version."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.admiralty import trust
from pipeline.model.cells import Cells, index_of, locate
from pipeline.params import Admiralty, Label

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

DAY_US = 86_400_000_000
DATED = ("minute", "day")
"""Precisions of a date that put an event before or after a midnight."""
_PERIOD_DAYS = {"minute": 0.0, "day": 1.0, "week": 7.0, "month": 30.4, "year": 365.25}


@dataclass(frozen=True)
class Events:
    """Versions of events on cells, in the order in which they became history; times in days since 1970, UTC.

    A version is history at t while ``known_from <= t < known_until``.
    """

    cell: npt.NDArray[np.int64]
    """Index of the cell, shape (n,)."""
    happened: Floats
    """As `moments` says; of what is dated to a week or coarser never later than it was known. Shape (n,)."""
    known_from: Floats
    """When it was known; of what is dated to the day or minute, and had happened."""
    known_until: Floats
    """Infinite where no later version replaced it."""
    weights: Floats
    """What the event adds to each channel, shape (n, channels)."""
    channels: tuple[str, ...]

    def select(self, channel: str) -> "Events":
        """Return the events that add to one channel, with that channel alone."""
        column = self.channels.index(channel)
        some = self._where(self.weights[:, column] > 0)
        return replace(some, weights=some.weights[:, [column]], channels=(channel,))

    def since(self, day: float) -> "Events":
        """Return the events that happened on or after a day."""
        return self._where(self.happened >= day)

    def _where(self, mask: Mask) -> "Events":
        return Events(
            self.cell[mask],
            self.happened[mask],
            self.known_from[mask],
            self.known_until[mask],
            self.weights[mask],
            self.channels,
        )


def days(column: pa.ChunkedArray) -> Floats:
    """Return timestamps as days since 1970 UTC; missing ones are infinite."""
    microseconds = pc.cast(column, pa.int64())
    known = pc.fill_null(microseconds, 0).to_numpy() / DAY_US
    return np.where(pc.is_null(column).to_numpy(), np.inf, known)


def moments(rows: pa.Table) -> Floats:
    """Return the moment at which each row counts as having happened, days since 1970, shape (n,).

    That is the middle of its period: the middle of a day lies within that day of the theatre, wherever the clocks go
    forward or back at its midnight, and whether or not the partner's zone is the theatre's. One moment says whether an
    event lies before a cutoff or after it, so it cannot be on both sides, nor on none.
    """
    half_period = np.array([_PERIOD_DAYS[name] / 2 for name in rows["occurred_precision"].to_pylist()])
    return np.asarray(days(rows["occurred_at"]) + half_period)


def are_dated(rows: pa.Table) -> Mask:
    """Return which rows are dated to the day or minute, shape (n,)."""
    return _is_in(rows["occurred_precision"], DATED)


def label_known_from(incidents: pa.Table, label: Label) -> Floats:
    """Return from when on each version of an incident is the event to be predicted, days, shape (n,); infinite: never.

    Where the label names sources, a version of another partner is one as soon as it is linked with a report of theirs,
    and not before that report was known: linking must neither take a label away nor bring it forward.
    """
    known = days(incidents["available_at"])
    if label.sources:
        named = _is_in(incidents["source_id"], label.sources)
        reports = incidents.filter(pa.array(named)).group_by(["incident_id", "source_id"])
        latest = reports.aggregate([("available_at", "max")])  # linkage joins the version that stands
        first = latest.group_by("incident_id").aggregate([("available_at_max", "min")])
        linked = first["available_at_max_min"].take(pc.index_in(incidents["incident_id"], first["incident_id"]))
        known = np.where(named, known, np.maximum(known, days(linked)))
    kind = _is_in(incidents["event_type"], label.event_types) & _is_in(incidents["hazard"], label.hazards)
    return np.where(kind, known, np.inf)


def incident_events(
    incidents: pa.Table, label: Label, cells: Cells, resolution: int, *, admiralty: Admiralty
) -> Events:
    """Return incidents as events with a channel for the label, each group of event types and each hazard.

    Where the reports of the label are not all trusted alike there are two channels more: `trusted`, in which each
    counts as far as it is trusted, and `unjudged`, which counts those of which nothing says how far.

    Parameters
    ----------
    incidents
        `tables.INCIDENTS`; rows without a position, or outside `cells`, are left out.
    cells
        Sorted, shape (n,).
    """
    kind, hazard = incidents["event_type"], incidents["hazard"]
    of_kind = {
        "explosion": _is_in(kind, ["explosion"]),
        "found": _is_in(kind, ["found_cleared", "seizure"]),
        "other": _is_in(kind, ["attack_other", "threat_report", "hoax_false"]),
        "ied": _is_in(hazard, ["ied"]),
        "mine": _is_in(hazard, ["mine"]),
        "uxo": _is_in(hazard, ["uxo"]),
        "victim": np.maximum(pc.fill_null(incidents["victim_count"], 0).to_numpy().astype(np.float64), 0.0),
    }
    of_label = {"label": np.ones(incidents.num_rows)}
    known, trusted = days(incidents["available_at"]), trust(incidents, admiralty)
    label_from = label_known_from(incidents, label)
    if np.unique(trusted[np.isfinite(label_from)]).size > 1:
        of_label |= {"trusted": np.nan_to_num(trusted), "unjudged": np.isnan(trusted).astype(np.float64)}
    at_once = label_from <= known
    # a version that another partner's report made the event to be predicted later on comes once more, for that alone
    later = np.flatnonzero(~at_once & (label_from < days(incidents["superseded_at"])))
    channels = {
        **{name: np.append(weight * at_once, weight[later]) for name, weight in of_label.items()},
        **{name: np.append(weight, np.zeros(len(later))) for name, weight in of_kind.items()},
    }
    rows = incidents.take(pa.array(np.append(np.arange(incidents.num_rows), later)))
    return _events(rows, channels, cells, resolution, known_from=np.append(known, label_from[later]))


def observation_events(observations: pa.Table, cells: Cells, resolution: int) -> Events:
    """Return observations as events with a channel for each kind, such as ``clearance``, weighted by their value."""
    value = pc.fill_null(observations["value"], 0.0).to_numpy()
    kinds = sorted(pc.unique(observations["kind"]).to_pylist())
    channels = {kind: np.where(_is_in(observations["kind"], [kind]), value, 0.0) for kind in kinds}
    return _events(observations, channels, cells, resolution, known_from=days(observations["available_at"]))


def _events(rows: pa.Table, channels: dict[str, Any], cells: Cells, resolution: int, *, known_from: Floats) -> Events:
    placed = pc.is_valid(rows["latitude_deg"]).to_numpy() & pc.is_valid(rows["longitude_deg"]).to_numpy()
    latitude = pc.fill_null(rows["latitude_deg"], 0.0).to_numpy()
    longitude = pc.fill_null(rows["longitude_deg"], 0.0).to_numpy()
    cell, inside = index_of(locate(latitude, longitude, resolution=resolution), cells)
    dated, happened = are_dated(rows), moments(rows)
    # an event at the very cutoff follows it: history begins the least step later
    known_from = np.where(dated, np.maximum(known_from, np.nextafter(happened, np.inf)), known_from)
    happened = np.where(dated, happened, np.minimum(happened, known_from))
    weights = np.array(list(channels.values()), dtype=np.float64).reshape(len(channels), rows.num_rows).T
    keep = np.flatnonzero(placed & inside)
    keep = keep[np.lexsort((cell[keep], happened[keep], known_from[keep]))]
    return Events(
        cell=cell[keep],
        happened=happened[keep],
        known_from=known_from[keep],
        known_until=days(rows["superseded_at"])[keep],
        weights=weights[keep],
        channels=tuple(channels),
    )


def _is_in(column: pa.ChunkedArray, values: Sequence[str] | pa.Array) -> Mask:
    wanted = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(list(values), pa.string())
    return np.asarray(pc.is_in(column, value_set=wanted).to_numpy())
