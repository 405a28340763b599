"""Versions of reported events, and the events to be predicted: what history features and labels are made of."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class EventVersions:
    """Versions of reported events, in the order in which they became history; times in days since 1970, UTC.

    A version is history at t while ``known_from <= t < known_until``.
    """

    cell: npt.NDArray[np.int64]
    """Index of the cell, shape (n,)."""
    occurred: Floats
    """As of `clocks.counted_at`; where dated to a week or coarser, never later than it was known. Shape (n,)."""
    known_from: Floats
    """When it was known; of what is dated to the day or minute, and had occurred."""
    known_until: Floats
    """Infinite where no later version replaced it."""
    weights: Floats
    """What the event adds to each channel, shape (n, channels)."""
    channels: tuple[str, ...]

    def select(self, channel: str) -> "EventVersions":
        """Return the versions that add to one channel, with that channel alone."""
        column = self.channels.index(channel)
        selected = self._where(self.weights[:, column] > 0)
        return replace(selected, weights=selected.weights[:, [column]], channels=(channel,))

    def since(self, day: float) -> "EventVersions":
        """Return the versions of events that occurred on or after a day."""
        return self._where(self.occurred >= day)

    def _where(self, mask: Mask) -> "EventVersions":
        return EventVersions(
            self.cell[mask],
            self.occurred[mask],
            self.known_from[mask],
            self.known_until[mask],
            self.weights[mask],
            self.channels,
        )


@dataclass(frozen=True)
class LabelEvents:
    """The events to be predicted."""

    cell: npt.NDArray[np.int64]
    """Index of the cell, shape (n,)."""
    occurred: Floats
    """As of `clocks.counted_at`: days since 1970 UTC, ascending, shape (n,)."""
    trust: Floats
    """How far the report of each is trusted, NaN where not known, shape (n,)."""
    reported_by: npt.NDArray[np.str_]
    """The sources that have reported each, sorted and joined by ``+``, shape (n,)."""
    left_out: dict[str, int]
    """Number of events that belong to no cell and horizon, by reason."""
