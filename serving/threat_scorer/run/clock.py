"""The device's clock, which may jump or stand at 1970 -> timestamps, with whether they can be trusted."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""No score was made before this: a clock that shows an earlier time is not set."""
TOLERANCE_S = 2.0
"""A step back no longer than this is a clock being steered, not set."""
LEAP_S = 24 * 3600.0
"""A step ahead of the steady clock by more than this is not believed."""


class Moment(NamedTuple):
    """A timestamp."""

    at: float
    """Seconds since 1970, UTC, as the device's clock shows."""
    uncertain: bool
    """True where the clock cannot be right."""


def boottime() -> float:
    """Return seconds since start-up, suspended time included; it never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def now_ms() -> int:
    """Return the time that the device's clock shows, believed or not, in milliseconds since 1970, UTC."""
    return int(1000 * time.time())


class Clock:
    """A clock that knows whether to believe itself.

    Parameters
    ----------
    latest
        The latest time that was ever believed on this device, in seconds since 1970; 0 where there is none.
    wall
        Returns the seconds since 1970 that the device's clock shows.
    steady
        Returns seconds that never jump.

    Examples
    --------
    >>> readings = iter([1.9e9, 0.0])
    >>> clock = Clock(0.0, wall=lambda: next(readings), steady=lambda: 0.0)
    >>> [clock.now().uncertain for _ in range(2)]
    [False, True]
    """

    def __init__(
        self, latest: float, *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = boottime
    ) -> None:
        self._wall, self._steady = wall, steady
        self.latest = latest
        """Latest time that was believed."""
        self._believed: tuple[float, float] | None = None  # the two clocks when last believed

    def now(self) -> Moment:
        """Return the present moment."""
        at, steady = self._wall(), self._steady()
        behind = at < max(EARLIEST, self.latest - TOLERANCE_S)
        if behind or (self._believed and at > self._believed[0] + (steady - self._believed[1]) + LEAP_S):
            return Moment(at, True)
        self._believed = (at, steady)
        self.latest = max(self.latest, at)
        return Moment(at, False)


def iso(at: float) -> str:
    """Return a time as ISO 8601 in UTC with microseconds.

    >>> iso(0.0)
    '1970-01-01T00:00:00.000000Z'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_iso(text: str) -> float:
    """Read an ISO 8601 time that names its offset from UTC, as seconds since 1970.

    Raises
    ------
    ValueError
        Not such a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset from UTC")
    return moment.timestamp()
