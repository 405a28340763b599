"""The name of a size -> how large the simulated theatre is; every other number follows from these."""

from dataclasses import dataclass
from datetime import date, timedelta
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pipeline.params import Dataset, Simulate


@dataclass(frozen=True)
class Size:
    """How much ground, time and sensing a theatre has."""

    land_radius_km: float
    """Mean radius of the island."""
    days: int
    lanes: int
    """Number of search lanes that sensors sweep."""
    alarms: int
    """Number of detections that the sensors raise."""


SIZES = {
    "small": Size(land_radius_km=12, days=2192, lanes=12, alarms=600),
    "theatre": Size(land_radius_km=42, days=2192, lanes=24, alarms=12_000),
    "large": Size(land_radius_km=304, days=3652, lanes=20_000, alarms=100_000_000),
}


@dataclass(frozen=True)
class Scenario:
    """One theatre to be made: where, when, how large, and the seed that makes it another one."""

    size: Size
    seed: int
    latitude_deg: float
    """Centre of the island."""
    longitude_deg: float
    h3_resolution: int
    first_day: date
    horizons_days: tuple[int, ...]
    """Periods ahead for which the truth gives the probability of an event."""

    @property
    def start(self) -> np.datetime64:
        """The instant at which the first day begins, UTC, in microseconds."""
        return np.datetime64(self.first_day, "us")

    def instants(self, days: NDArray[np.float64]) -> NDArray[np.datetime64]:
        """Return instants, UTC to the minute, of days counted from the first."""
        return self.start + (np.floor(days * 1440) * 60_000_000).astype("timedelta64[us]")

    def random(self, subject: str) -> np.random.Generator:
        """Return the random stream of one subject, so that a change to one leaves the others as they were."""
        return np.random.default_rng([self.seed, crc32(subject.encode())])


def make_scenario(simulate: Simulate, dataset: Dataset) -> Scenario:
    """Return the scenario that params.yaml describes.

    Raises
    ------
    ValueError
        The dataset has no theatre, or one of another zone than UTC.
    """
    if dataset.theatre is None:
        raise ValueError("theatre of a simulated dataset: got null; expected its bounds and cells")
    if dataset.theatre.zone != "UTC":
        raise ValueError(
            f"theatre.zone of a simulated dataset: got {dataset.theatre.zone}; expected UTC: its partners date by the "
            "UTC day, and the truth is by UTC day"
        )
    size, bounds = SIZES[simulate.size], dataset.bounds
    return Scenario(
        size=size,
        seed=simulate.seed,
        latitude_deg=(bounds.south_deg + bounds.north_deg) / 2,
        longitude_deg=(bounds.west_deg + bounds.east_deg) / 2,
        h3_resolution=dataset.theatre.h3_resolution,
        first_day=simulate.until - timedelta(days=size.days),
        horizons_days=tuple(simulate.horizons_days),
    )
