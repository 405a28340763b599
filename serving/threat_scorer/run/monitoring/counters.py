"""Counts of the running scorer, and when it last moved: every part writes them, health and metrics read them."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

LATENCIES_KEPT = 1000


@dataclass
class Counters:
    """Counts since the process began; times are of the steady clock."""

    inputs: dict[str, float]
    """When the last line came in, by the input's name."""
    scored: int = 0
    rejected: int = 0
    """Records on the disk that could not be scored."""
    turned_away: int = 0
    """Lines for which there was no room; their sender must send them again."""
    model_failures: int = 0
    """Records for which the model gave what is no probability."""
    clock_uncertain: bool = False
    busy_since: float | None = None
    """Since when the worker scores the records at hand; None while it waits for more."""
    _latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_stored(self, *, scored: int, rejected: int, latencies_s: Iterable[float]) -> None:
        """Count records that are on the disk.

        Parameters
        ----------
        scored, rejected
            How many of each.
        latencies_s
            Seconds from read to stored, of each record.
        """
        with self._lock:
            self.scored += scored
            self.rejected += rejected
            self._latencies_s.extend(latencies_s)

    def latency_s(self, share: float) -> float | None:
        """Return the latency that this share of the last records stayed within; None where there are none."""
        with self._lock:
            ordered = sorted(self._latencies_s)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
