"""The values of a sensor, record by record -> which measurements are stuck, drift, leave their range or are missing.

The monitor learns a background from the first records after commissioning, and keeps it. Drift is a slow departure from
the background. A fault costs no score: the record names the fault.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, sqrt
from pathlib import Path

from threat_scorer.device.atomic_files import replace
from threat_scorer.parsing import strict_json
from threat_scorer.run.config.settings import SensorLimits

OUTSIDE_SHARE = 0.2
"""A larger share of the recent records out of range is a fault of the sensor, not of one record."""
OUTSIDE_RECORDS = 50
"""How many records the recent share out of range looks back, about."""
LEAST_DEVIATION = 1e-9
"""Of a background whose values are all alike, as a share of their mean."""
FARTHEST_DEVIATIONS = 10
"""A value farther from the background moves the recent mean no more than one at this distance."""


@dataclass(frozen=True)
class Background:
    """The usual values of one measurement."""

    mean: float
    deviation: float
    """Standard deviation, over 0."""


@dataclass
class _Track:
    """The recent values of one measurement."""

    last: float = float("nan")
    repeats: int = 0
    """So many records in a row had the value `last`."""
    missing: int = 0
    """So many records in a row had no value."""
    outside_share: float = 0.0
    """Share of the recent values out of range, exponentially weighted."""
    background_count: int = 0
    background_mean: float = 0.0
    squared_distances: float = 0.0
    """Sum of squared distances from the mean, while the background is learnt (Welford 1962)."""
    recent_mean: float = 0.0
    """Exponentially weighted."""
    recent_count: int = 0
    """Records in `recent_mean`, at most `SensorLimits.drift_records`."""


class SensorMonitor:
    """Monitors the measurements of one sensor.

    Parameters
    ----------
    names
        Of the measurements, in the order of the contract's inputs.
    limits
        When a measurement is at fault.
    backgrounds
        Backgrounds that are known already, by the measurement's name.
    """

    def __init__(self, names: Sequence[str], limits: SensorLimits, backgrounds: Mapping[str, Background]) -> None:
        self._limits = limits
        self.backgrounds = dict(backgrounds)
        self.unsaved = False
        """True where `backgrounds` grew since it was last saved."""
        self.faults: tuple[str, ...] = ()
        """The present faults: the name of the measurement and the fault, as in ``voltage stuck``."""
        self._tracks = {name: _Track() for name in names}

    def update(self, values: Sequence[float], outside: Sequence[str]) -> tuple[str, ...]:
        """Take in one record and return the faults.

        Parameters
        ----------
        values
            Of the measurements, in the contract's order and units; NaN where missing.
        outside
            Names of the measurements that are out of range in this record.
        """
        faults: list[str] = []
        for (name, track), value in zip(self._tracks.items(), values, strict=True):
            if isnan(value):
                track.missing += 1
            else:
                track.missing = 0
                self._add(name, track, value)
            track.outside_share += ((name in outside) - track.outside_share) / OUTSIDE_RECORDS
            if fault := self._fault(name, track):
                faults.append(f"{name} {fault}")
        self.faults = tuple(faults)
        return self.faults

    def _add(self, name: str, track: _Track, value: float) -> None:
        track.repeats = track.repeats + 1 if value == track.last else 1
        track.last = value
        if (known := self.backgrounds.get(name)) is None:
            self._learn(name, track, value)
            return
        # a mean over what there is until there is enough, then one that forgets: no start at a made-up value
        track.recent_count = min(track.recent_count + 1, self._limits.drift_records)
        farthest = FARTHEST_DEVIATIONS * known.deviation
        bounded = min(max(value, known.mean - farthest), known.mean + farthest)
        track.recent_mean += (bounded - track.recent_mean) / track.recent_count

    def _learn(self, name: str, track: _Track, value: float) -> None:
        track.background_count += 1
        before = value - track.background_mean
        track.background_mean += before / track.background_count
        track.squared_distances += before * (value - track.background_mean)
        if track.background_count >= self._limits.background_records:
            deviation = sqrt(track.squared_distances / track.background_count)
            least = LEAST_DEVIATION * max(abs(track.background_mean), 1.0)
            self.backgrounds[name] = Background(track.background_mean, max(deviation, least))
            self.unsaved = True

    def _fault(self, name: str, track: _Track) -> str | None:
        limits = self._limits
        steady = name in limits.steady
        if track.background_count + track.recent_count and track.missing >= limits.missing_after:
            return "missing"
        if track.repeats >= limits.stuck_after and not steady:
            return "stuck"
        if track.outside_share > OUTSIDE_SHARE:
            return "out of range"
        known = self.backgrounds.get(name)
        if known and track.recent_count >= limits.drift_records and not steady:
            departure = (track.recent_mean - known.mean) / known.deviation
            if abs(departure) > limits.drift_deviations:
                return f"drifting {'up' if departure > 0 else 'down'}"
        return None


def read_backgrounds(path: Path) -> dict[str, dict[str, Background]]:
    """Return the saved backgrounds, by the name of the record input and of the measurement.

    A file that cannot be read counts as none: the background is learnt again.
    """
    try:
        saved = strict_json.parse(path.read_bytes())
        return {
            source: {name: _background(float(of["mean"]), float(of["deviation"])) for name, of in inputs.items()}
            for source, inputs in saved.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return {}


def _background(mean: float, deviation: float) -> Background:
    if not deviation > 0:
        raise ValueError(f"deviation: got {deviation}; expected over 0")
    return Background(mean, deviation)


def save_backgrounds(path: Path, monitors: Mapping[str, SensorMonitor]) -> None:
    """Save the backgrounds, by the name of the record input.

    Raises
    ------
    OSError
        The disk did not take it.
    """
    backgrounds = {
        source: {name: asdict(background) for name, background in monitor.backgrounds.items()}
        for source, monitor in monitors.items()
    }
    replace(path, json.dumps(backgrounds, allow_nan=False).encode())
    for monitor in monitors.values():
        monitor.unsaved = False
