"""Versions of rows with their two clocks -> what was known at a moment, for every stage.

A version is known at *t* if it was available and no later version or withdrawal had replaced it.
"""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage import schemas


def known_at(rows: pa.Table, moment: datetime | np.datetime64) -> pa.Table:
    """Return the versions that were known at a moment; a datetime has a zone, a datetime64 is UTC."""
    at = _scalar(moment)
    still_open = pc.fill_null(pc.greater(rows["superseded_at"], at), True)
    return rows.filter(pc.and_(pc.less_equal(rows["available_at"], at), still_open))


def as_it_stood(rows: pa.Table, moment: datetime | np.datetime64) -> pa.Table:
    """Return a table as it stood at a moment: all versions so far, those replaced later on still open."""
    at = _scalar(moment)
    published = rows.filter(pc.less_equal(rows["available_at"], at))
    superseded_at = published["superseded_at"]
    closed = pc.if_else(pc.less_equal(superseded_at, at), superseded_at, pa.scalar(None, superseded_at.type))
    return published.set_column(published.column_names.index("superseded_at"), "superseded_at", closed)


def latest(rows: pa.Table) -> pa.Table:
    """Return the current versions at the end: the last of each row, unless it was withdrawn."""
    return rows.filter(pc.is_null(rows["superseded_at"]))


def changes(rows: pa.Table) -> list[datetime]:
    """Return the moments at which what is known changes, each once, ascending, UTC."""
    moments = pa.chunked_array([*rows["available_at"].chunks, *rows["superseded_at"].chunks], schemas.UTC)
    return sorted(moment.astimezone(UTC) for moment in pc.unique(moments.drop_null()).to_pylist())


def _scalar(moment: datetime | np.datetime64) -> pa.Scalar:
    if isinstance(moment, np.datetime64):
        moment = moment.astype("datetime64[us]").item().replace(tzinfo=UTC)
    return pa.scalar(moment, schemas.UTC)
