"""Calendar days of a time zone <-> the UTC instants at which they begin.

A day begins at its first instant. Where the clocks skip midnight, that is the change. Where they repeat midnight, it is
the first of two. So every instant lies in exactly one day, and a horizon of days always ends at a midnight.
"""

from datetime import UTC, date, datetime
from functools import cache
from typing import Any, TypeAlias
from zoneinfo import available_timezones

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Instants: TypeAlias = npt.NDArray[np.datetime64]
"""UTC, datetime64[us]."""
Days: TypeAlias = npt.NDArray[np.datetime64]
"""datetime64[D]."""

NO_ZONE = "UTC"
"""Where no zone is declared."""
_KEY = b"zone"


@cache
def is_zone(name: str) -> bool:
    """Return whether a name is an IANA time zone."""
    return name in available_timezones()


def midnights(days: Days, zone: str) -> Instants:
    """Return the instants at which days begin in a zone, of any shape.

    Examples
    --------
    >>> midnights(np.array(["2021-03-27", "2021-03-28"], "M8[D]"), "Asia/Beirut").astype("M8[m]").astype(str).tolist()
    ['2021-03-26T22:00', '2021-03-27T22:00']
    """
    local = pa.array(np.ravel(days).astype("datetime64[us]"))
    begun = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest")
    return np.asarray(begun.cast(pa.int64())).astype("datetime64[us]").reshape(np.shape(days))


def midnight(day: date, zone: str) -> datetime:
    """Return the instant at which a day begins in a zone, as an aware datetime in UTC.

    Examples
    --------
    >>> midnight(date(2019, 1, 1), "Asia/Baghdad").isoformat()
    '2018-12-31T21:00:00+00:00'
    """
    begun: datetime = midnights(np.array([day], "datetime64[D]"), zone)[0].item()
    return begun.replace(tzinfo=UTC)


def days_of(instants: Instants, zone: str) -> Days:
    """Return the day that each instant lies in, of any shape: the last one that has begun.

    Examples
    --------
    >>> days_of(np.array(["2018-12-31T20:59", "2018-12-31T21:00"], "M8[us]"), "Asia/Baghdad").astype(str).tolist()
    ['2018-12-31', '2019-01-01']
    """
    flat = pa.array(np.ravel(instants).astype("datetime64[us]").astype(np.int64), pa.timestamp("us", "UTC"))
    local = pc.local_timestamp(flat.cast(pa.timestamp("us", zone)))
    days = np.asarray(local.cast(pa.int64())).astype("datetime64[us]").astype("datetime64[D]")
    # where the clocks go back over midnight, the wall clock shows the day before once more
    days = np.where(midnights(days + 1, zone) <= np.ravel(instants), days + 1, days)
    return np.asarray(days).reshape(np.shape(instants))


def day_of(instant: np.datetime64, zone: str) -> np.datetime64:
    """Return the day that one instant lies in."""
    day: np.datetime64 = days_of(np.array([instant]), zone)[0]
    return day


def later(instants: Instants, days: int, zone: str) -> Instants:
    """Return for each instant the midnight that begins its day, moved by a number of calendar days.

    Each distinct instant is looked up once: rows of a table repeat few cutoffs.

    Parameters
    ----------
    instants
        Of any shape.
    days
        Calendar days to move; negative for earlier.
    zone
        In which the days begin.
    """
    distinct, place = np.unique(instants, return_inverse=True)
    return midnights(days_of(distinct, zone) + days, zone)[place].reshape(np.shape(instants))


def in_zone(schema: pa.Schema, zone: str) -> pa.Schema:
    """Return the schema of rows whose cutoffs are midnights of a zone, with the zone in its metadata."""
    return schema.with_metadata({_KEY: zone.encode()})


def zone_of(schema: pa.Schema) -> str:
    """Return the zone whose midnights are the cutoffs of rows; UTC where their schema has none."""
    metadata: dict[bytes, Any] = schema.metadata or {}
    return str(metadata.get(_KEY, NO_ZONE.encode()).decode())
