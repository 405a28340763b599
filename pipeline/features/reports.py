"""Incidents and observations -> weighted events on the theatre's cells, each with the two clocks of its version."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.clocks import are_dated, counted_at, days, is_in, label_known_from
from pipeline.features.events import EventVersions, Floats
from pipeline.model.cells import Cells, index_of, locate
from pipeline.params.datasets import Label


def incident_events(
    incidents: pa.Table, label: Label, cells: Cells, *, resolution: int, trust: Floats
) -> EventVersions:
    """Return incidents as events with a channel for the label, each group of event types and each hazard.

    Where the reports of the label are not all trusted alike, there are two more channels. In `trusted` each report
    counts by its trust. `unjudged` counts the reports whose trust is not known.

    Parameters
    ----------
    incidents
        `schemas.INCIDENTS`, n rows; those without a position, or outside `cells`, are left out.
    label
        The event to be predicted.
    cells
        Sorted, shape (cells,).
    resolution
        Of the cells, as H3 counts it.
    trust
        How far each row is trusted, 0 to 1, NaN where not known, shape (n,).
    """
    kind, hazard = incidents["event_type"], incidents["hazard"]
    of_kind = {
        "explosion": is_in(kind, ["explosion"]),
        "found": is_in(kind, ["found_cleared", "seizure"]),
        "other": is_in(kind, ["attack_other", "threat_report", "hoax_false"]),
        "ied": is_in(hazard, ["ied"]),
        "mine": is_in(hazard, ["mine"]),
        "uxo": is_in(hazard, ["uxo"]),
        "victim": np.maximum(pc.fill_null(incidents["victim_count"], 0).to_numpy().astype(np.float64), 0.0),
    }
    of_label = {"label": np.ones(incidents.num_rows)}
    known, label_from = days(incidents["available_at"]), label_known_from(incidents, label)
    if np.unique(trust[np.isfinite(label_from)]).size > 1:
        of_label |= {"trusted": np.nan_to_num(trust), "unjudged": np.isnan(trust).astype(np.float64)}
    at_once = label_from <= known
    # a version that another partner's report made the event to be predicted later on comes once more, for that alone
    later = np.flatnonzero(~at_once & (label_from < days(incidents["superseded_at"])))
    channels = {
        **{name: np.append(weight * at_once, weight[later]) for name, weight in of_label.items()},
        **{name: np.append(weight, np.zeros(len(later))) for name, weight in of_kind.items()},
    }
    rows = incidents.take(pa.array(np.append(np.arange(incidents.num_rows), later))) if len(later) else incidents
    return _events(rows, channels, cells, resolution=resolution, known_from=np.append(known, label_from[later]))


def observation_events(observations: pa.Table, cells: Cells, *, resolution: int) -> EventVersions:
    """Return observations as events with a channel for each kind, such as ``clearance``, weighted by their value.

    Parameters
    ----------
    observations
        `schemas.OBSERVATIONS`; rows without a position, or outside `cells`, are left out.
    cells
        Sorted, shape (cells,).
    resolution
        Of the cells, as H3 counts it.
    """
    value = pc.fill_null(observations["value"], 0.0).to_numpy()
    kinds = sorted(pc.unique(observations["kind"]).to_pylist())
    channels = {kind: np.where(is_in(observations["kind"], [kind]), value, 0.0) for kind in kinds}
    known = days(observations["available_at"])
    return _events(observations, channels, cells, resolution=resolution, known_from=known)


def _events(
    rows: pa.Table, channels: Mapping[str, Any], cells: Cells, *, resolution: int, known_from: Floats
) -> EventVersions:
    placed = pc.is_valid(rows["latitude_deg"]).to_numpy() & pc.is_valid(rows["longitude_deg"]).to_numpy()
    latitude = pc.fill_null(rows["latitude_deg"], 0.0).to_numpy()
    longitude = pc.fill_null(rows["longitude_deg"], 0.0).to_numpy()
    cell, inside = index_of(locate(latitude, longitude, resolution=resolution), cells)
    dated, occurred = are_dated(rows), counted_at(rows)
    # an event at the very cutoff follows it: history begins the least step later
    known_from = np.where(dated, np.maximum(known_from, np.nextafter(occurred, np.inf)), known_from)
    occurred = np.where(dated, occurred, np.minimum(occurred, known_from))
    weights = np.array(list(channels.values()), dtype=np.float64).reshape(len(channels), rows.num_rows).T
    keep = np.flatnonzero(placed & inside)
    keep = keep[np.lexsort((cell[keep], occurred[keep], known_from[keep]))]
    return EventVersions(
        cell=cell[keep],
        occurred=occurred[keep],
        known_from=known_from[keep],
        known_until=days(rows["superseded_at"])[keep],
        weights=weights[keep],
        channels=tuple(channels),
    )
