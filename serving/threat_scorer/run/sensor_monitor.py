"""Values of a sensor, record by record -> which of its inputs are stuck, drift, leave their range or are missing.

A background is learnt from the first records after commissioning and kept; drift is a slow departure from it. Nothing
is refused for a fault: the score goes out and says so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, sqrt
from pathlib import Path

from threat_scorer.device.atomic_files import replace
from threat_scorer.parsing import strict_json
from threat_scorer.run.config.settings import Degrade

OUTSIDE_SHARE = 0.2
"""More of the late records than this out of range is a fault of the sensor, not of one record."""
OUTSIDE_RECORDS = 50
LEAST_FOR_SPREAD = 1e-9


@dataclass(frozen=True)
class Background:
    """Of one input, as commissioned."""

    mean: float
    deviation: float
    """Standard deviation, over 0."""


@dataclass
class _Track:
    """One input as of late."""

    last: float = float("nan")
    same: int = 0
    missing: int = 0
    outside: float = 0.0
    """Late share of values out of range."""
    count: int = 0
    mean: float = 0.0
    spread: float = 0.0
    """Sum of squared distances from the mean, while the background is learnt (Welford 1962)."""
    late: float = 0.0
    """Late mean, exponentially weighted."""
    seen: int = 0
    """Records in it."""


class Watch:
    """Watches the inputs of one model at one input of the process.

    Parameters
    ----------
    names
        Of the inputs, in the contract's order.
    backgrounds
        Of those that were commissioned before, by the input's name.
    """

    def __init__(self, names: Sequence[str], limits: Degrade, backgrounds: Mapping[str, Background]) -> None:
        self._limits = limits
        self.backgrounds = dict(backgrounds)
        self.learnt = False
        """True where `backgrounds` grew since it was last kept."""
        self.faults: tuple[str, ...] = ()
        """What is wrong now, in words."""
        self._tracks = {name: _Track() for name in names}

    def see(self, values: Sequence[float], outside: Sequence[str]) -> tuple[str, ...]:
        """Take in one record's values, NaN where missing; return what is wrong, in words."""
        faults: list[str] = []
        for (name, track), value in zip(self._tracks.items(), values, strict=True):
            if isnan(value):
                track.missing += 1
            else:
                track.missing = 0
                self._take(name, track, value)
            track.outside += ((name in outside) - track.outside) / OUTSIDE_RECORDS
            if fault := self._fault(name, track):
                faults.append(f"{name} {fault}")
        self.faults = tuple(faults)
        return self.faults

    def _take(self, name: str, track: _Track, value: float) -> None:
        track.same = track.same + 1 if value == track.last else 1
        track.last = value
        if (known := self.backgrounds.get(name)) is None:
            self._learn(name, track, value)
            return
        # a mean over what there is until there is enough, then one that forgets: no start at a made-up value
        track.seen = min(track.seen + 1, self._limits.drift_records)
        bounded = min(max(value, known.mean - 10 * known.deviation), known.mean + 10 * known.deviation)
        track.late += (bounded - track.late) / track.seen

    def _learn(self, name: str, track: _Track, value: float) -> None:
        track.count += 1
        before = value - track.mean
        track.mean += before / track.count
        track.spread += before * (value - track.mean)
        if track.count >= self._limits.background_records:
            deviation = sqrt(track.spread / track.count)
            least = LEAST_FOR_SPREAD * max(abs(track.mean), 1.0)
            self.backgrounds[name] = Background(track.mean, max(deviation, least))
            self.learnt = True

    def _fault(self, name: str, track: _Track) -> str | None:
        limits = self._limits
        steady = name in limits.steady
        if track.count + track.seen and track.missing >= limits.missing_after:
            return "missing"
        if track.same >= limits.stuck_after and not steady:
            return "stuck"
        if track.outside > OUTSIDE_SHARE:
            return "out of range"
        known = self.backgrounds.get(name)
        if known and track.seen >= limits.drift_records and not steady:
            departure = (track.late - known.mean) / known.deviation
            if abs(departure) > limits.drift_deviations:
                return f"drifting {'up' if departure > 0 else 'down'}"
        return None


def read_backgrounds(path: Path) -> dict[str, dict[str, Background]]:
    """Return the backgrounds that were kept, by the names of the process's inputs and of the sensor's.

    A file that cannot be read is as none: the background is learnt again.
    """
    try:
        kept = strict_json.parse(path.read_bytes())
        return {
            source: {name: _background(float(of["mean"]), float(of["deviation"])) for name, of in inputs.items()}
            for source, inputs in kept.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return {}


def _background(mean: float, deviation: float) -> Background:
    if not deviation > 0:
        raise ValueError(f"deviation: got {deviation}; expected over 0")
    return Background(mean, deviation)


def keep_backgrounds(path: Path, watches: Mapping[str, Watch]) -> None:
    """Keep what was learnt, by the names of the process's inputs.

    Raises
    ------
    OSError
        The disk did not take it.
    """
    kept = {
        source: {name: asdict(background) for name, background in watch.backgrounds.items()}
        for source, watch in watches.items()
    }
    replace(path, json.dumps(kept, allow_nan=False).encode())
    for watch in watches.values():
        watch.learnt = False
