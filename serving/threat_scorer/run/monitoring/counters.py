"""What the running scorer counts and when it last moved: read by health, written by everyone."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from threat_scorer.run.clock import boottime

LATENCIES_KEPT = 1000


@dataclass
class Meter:
    """Counts since the process began; times are of the steady clock."""

    inputs: dict[str, float]
    """When the last line came in, by the input's name."""
    started: float = field(default_factory=boottime)
    scored: int = 0
    refused: int = 0
    turned_away: int = 0
    """Lines that could not be kept and were answered so: the sender has them still."""
    model_failures: int = 0
    clock_uncertain: bool = False
    busy_since: float | None = None
    """Since when the scorer works on what it has at hand; None while it waits for more."""
    _latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def kept(self, *, scored: int, refused: int, latencies_s: Iterable[float]) -> None:
        """Count records that are on the disk, with the time from read to there."""
        with self._lock:
            self.scored += scored
            self.refused += refused
            self._latencies_s.extend(latencies_s)

    def latency_s(self, share: float) -> float | None:
        """Return the latency that this share of the last records stayed within; None where there are none."""
        with self._lock:
            ordered = sorted(self._latencies_s)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
