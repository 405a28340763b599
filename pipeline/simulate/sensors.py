"""Lanes and their chance of a hazard -> sensor alarms, and the exact log-odds of a hazard given the readings.

Behind each bounded reading stands an unbounded one. Given the sensor's height, these are jointly Gaussian for each kind
of object. The object's size moves several readings together. Ground and temperature shift a whole lane. Each reading
has its own noise. The likelihood of a class is therefore a mixture of normal densities, in closed form, whichever
readings are missing.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.runtime.portable_math import (
    cholesky,
    cross_product,
    exp,
    expit,
    log,
    logit,
    solve_lower,
    weighted_sum,
)
from pipeline.simulate.ground import Floats

READINGS = ("voltage", "emi_in_phase", "emi_quadrature", "gpr_contrast", "gpr_depth")
HEIGHTS = np.round(np.arange(12) / 11, 4)
"""Heights of the sensor over the soil that crews use, over the largest."""
MISSING = {"emi": (0.15, slice(1, 3)), "gpr": (0.25, slice(3, 5))}
"""Share of alarms without a modality, and the readings that are then missing; the magnetometer is always there."""


@dataclass(frozen=True)
class Kind:
    """A kind of object under the soil, and what it does to the readings behind the readings."""

    share: float
    """Among the objects of its class."""
    signal: tuple[float, ...]
    """Mean at height 0, less the ground's, in the order of `READINGS`."""
    size: tuple[float, ...]
    """What one deviation of the object's size adds."""


HAZARDS = (
    Kind(0.55, (1.6, 1.1, 0.9, 0.9, 0.3), (0.7, 0.5, 0.4, 0.3, 0.1)),
    Kind(0.45, (0.35, 0.3, 0.5, 1.2, 0.2), (0.3, 0.2, 0.3, 0.4, 0.1)),
)
CLUTTER = (
    Kind(0.5, (1.0, 0.8, -0.2, -0.3, -0.7), (0.8, 0.5, 0.3, 0.2, 0.3)),
    Kind(0.3, (0.3, -0.4, 0.6, -0.1, 0.0), (0.4, 0.3, 0.4, 0.3, 0.2)),
    Kind(0.2, (-0.1, 0.0, 0.0, 0.7, 0.5), (0.1, 0.1, 0.1, 0.5, 0.3)),
)
GROUND_MEAN = np.array([-0.7, 0.0, -0.1, -0.9, -0.8])
DECAY = np.array([2.2, 1.4, 1.4, 0.0, 0.0])
"""How fast each reading's signal fades with height: by ``exp(-decay * height)``."""
_FADING = exp(-np.multiply.outer(HEIGHTS, DECAY))
NOISE = np.array([0.25, 0.22, 0.22, 0.35, 0.35])
LANE_EFFECTS = np.array(
    [
        [0.20, 0.15, 0.20, -0.10, 0.00],  # mineral soil
        [0.00, 0.05, 0.10, -0.30, 0.15],  # moisture
        [0.15, 0.00, 0.00, 0.00, 0.00],  # drift of the magnetometer
    ]
)
"""What one deviation of each property of a lane adds to every reading there."""
TEMPERATURE = np.array([0.0, 0.10, 0.10, 0.0, 0.0])
"""What one deviation of the day's temperature adds."""


@dataclass(frozen=True)
class Alarms:
    """Sensor alarms; arrays of shape (n,) and `readings` (n, 5), NaN where a sensor has none."""

    height: Floats
    readings: Floats
    is_hazard: np.ndarray
    log_odds: Floats
    """That it is a hazard, given height and readings, where hazards have the share `base_rate`."""


def sense(
    prior: Floats, lane_effect: Floats, temperature: Floats, *, base_rate: float, random: np.random.Generator
) -> Alarms:
    """Draw what lies under each alarm and what the sensors measure of it.

    Parameters
    ----------
    prior
        Chance of each alarm to be a hazard, before anything is measured; shape (n,).
    lane_effect
        Properties of the alarm's lane, in deviations; shape (n, 3).
    temperature
        Deviations from the year's mean; shape (n,).
    base_rate
        Share of hazards among all alarms, that the log-odds start from.
    random
        Draws objects, heights and readings.
    """
    count = len(prior)
    is_hazard = random.random(count) < prior
    level = random.integers(0, len(HEIGHTS), count)
    fading = _FADING[level]
    signal, size = np.empty((count, len(READINGS))), np.empty((count, len(READINGS)))
    for kinds, rows in ((HAZARDS, np.flatnonzero(is_hazard)), (CLUTTER, np.flatnonzero(~is_hazard))):
        drawn = random.choice(len(kinds), len(rows), p=[kind.share for kind in kinds])
        signal[rows] = np.array([kind.signal for kind in kinds])[drawn]
        size[rows] = np.array([kind.size for kind in kinds])[drawn]
    behind = GROUND_MEAN + fading * (signal + size * random.normal(0, 1, (count, 1)))
    behind += weighted_sum(lane_effect, LANE_EFFECTS) + temperature[:, None] * TEMPERATURE
    behind += random.normal(0, 1, behind.shape) * NOISE
    for share, columns in MISSING.values():
        behind[random.random(count) < share, columns] = np.nan
    readings = bounded(behind)
    return Alarms(HEIGHTS[level], readings, is_hazard, log_odds(HEIGHTS[level], readings, base_rate=base_rate))


def log_odds(height: Floats, readings: Floats, *, base_rate: float) -> Floats:
    """Return the exact log-odds of a hazard given what was measured, lane and temperature unknown; shape (n,).

    Parameters
    ----------
    height
        One of `HEIGHTS` each, shape (n,).
    readings
        In the order of `READINGS`, NaN where missing; shape (n, 5).
    base_rate
        Share of hazards among all alarms.
    """
    behind = unbounded(readings)
    result = np.full(len(behind), float(logit(base_rate)))
    level = np.searchsorted(HEIGHTS, height)
    # one covariance serves all rows with the same height and the same readings
    pattern = (level << len(READINGS)) + (np.isfinite(behind) << np.arange(len(READINGS))).sum(axis=1)
    for value in np.unique(pattern):
        rows = np.flatnonzero(pattern == value)
        present = np.flatnonzero(np.isfinite(behind[rows[0]]))
        if len(present):
            fading = _FADING[level[rows[0]]]
            measured = behind[np.ix_(rows, present)]
            hazard, clutter = (_log_density(measured, kinds, fading, present) for kinds in (HAZARDS, CLUTTER))
            result[rows] += hazard - clutter
    return result


def bounded(behind: Floats) -> Floats:
    """Return readings in their own ranges, as the sensors give them: four decimals."""
    squashed = expit(behind)
    return np.asarray(np.round(_LOW + (_HIGH - _LOW) * squashed, 4))


def unbounded(readings: Floats) -> Floats:
    """Return what stands behind readings: the inverse of `bounded`."""
    share = (readings - _LOW) / (_HIGH - _LOW)
    return np.asarray(logit(np.clip(share, 1e-5, 1 - 1e-5)))


_LOW = np.array([0.0, -2.0, -2.0, 0.0, 0.0])
_HIGH = np.array([1.0, 2.0, 2.0, 10.0, 1.0])


def _log_density(behind: Floats, kinds: tuple[Kind, ...], fading: Floats, present: np.ndarray) -> Floats:
    """Return the log-density of a class at rows that all have the readings `present`, without the shared constant."""
    shared = np.diag(np.square(NOISE)) + cross_product(LANE_EFFECTS) + np.multiply.outer(TEMPERATURE, TEMPERATURE)
    densities = []
    for kind in kinds:
        size = fading * np.array(kind.size)
        covariance = (shared + np.multiply.outer(size, size))[np.ix_(present, present)]
        root = cholesky(covariance)
        mean = (GROUND_MEAN + fading * np.array(kind.signal))[present]
        scaled = solve_lower(root, (behind - mean).T)
        densities.append(log(kind.share) - log(np.diag(root)).sum() - 0.5 * np.sum(np.square(scaled), axis=0))
    highest = np.max(densities, axis=0)
    return np.asarray(highest + log(exp(densities - highest).sum(axis=0)))
