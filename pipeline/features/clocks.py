"""Rows of a table -> when each counts as having occurred, and from when it is a label event; days."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.events import DAY_US, Floats, Mask
from pipeline.params.datasets import Label

DATED = ("minute", "day")
"""Precisions of a date that put an event before or after a midnight."""
_PERIOD_DAYS = {"minute": 0.0, "day": 1.0, "week": 7.0, "month": 30.4, "year": 365.25}


def days(column: pa.ChunkedArray) -> Floats:
    """Return timestamps as days since 1970 UTC; missing ones are infinite."""
    microseconds = pc.cast(column, pa.int64())
    known = pc.fill_null(microseconds, 0).to_numpy() / DAY_US
    return np.where(pc.is_null(column).to_numpy(), np.inf, known)


def counted_at(rows: pa.Table) -> Floats:
    """Return the moment at which each row counts as having occurred, days since 1970, shape (n,).

    That is the middle of its period. The middle of a day lies within that day of the theatre. This is so where the
    clocks change at its midnight, and where the partner's zone is not the theatre's. One moment decides whether an
    event lies before a cutoff or after it. So no event lies on both sides, or on none.
    """
    half_period = np.array([days / 2 for days in _PERIOD_DAYS.values()])
    code = pc.index_in(rows["occurred_precision"], pa.array(list(_PERIOD_DAYS))).to_numpy()
    return np.asarray(days(rows["occurred_at"]) + half_period[code])


def are_dated(rows: pa.Table) -> Mask:
    """Return which rows are dated to the day or minute, shape (n,)."""
    return is_in(rows["occurred_precision"], DATED)


def label_known_from(incidents: pa.Table, label: Label) -> Floats:
    """Return from when on each version of an incident is a label event, days, shape (n,); infinite: never.

    The label may name sources. A version of another partner becomes a label event when it is linked with a report of a
    named source. It is none before that report was known. Linking must neither remove a label nor bring it forward.
    """
    known = days(incidents["available_at"])
    if label.sources:
        named = is_in(incidents["source_id"], label.sources)
        reports = incidents.filter(pa.array(named)).group_by(["incident_id", "source_id"])
        newest = reports.aggregate([("available_at", "max")])  # linkage joins the current version
        first = newest.group_by("incident_id").aggregate([("available_at_max", "min")])
        linked = first["available_at_max_min"].take(pc.index_in(incidents["incident_id"], first["incident_id"]))
        known = np.where(named, known, np.maximum(known, days(linked)))
    kind = is_in(incidents["event_type"], label.event_types) & is_in(incidents["hazard"], label.hazards)
    return np.where(kind, known, np.inf)


def is_in(column: pa.ChunkedArray, values: Sequence[str]) -> Mask:
    """Return which values of a column are among some, shape (n,)."""
    return np.asarray(pc.is_in(column, value_set=pa.array(list(values), pa.string())).to_numpy())
