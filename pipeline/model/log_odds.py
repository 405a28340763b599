"""What the trees of a model give, and the columns that its baseline reads -> the model's log-odds.

``log-odds = slope * (baseline + trees) + intercept``, moved by a prior, clipped at a limit. This is the one place of
the formula. Training, evaluation, the exported graph and its parity gate take it from here.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from pipeline.storage.records import RECORD
from threat_scorer.scoring.float32 import LARGEST_INTEGER

Floats = NDArray[np.float64]
Columns = NDArray[np.floating[Any]]


def clipped(features: Columns) -> Floats:
    """Return values as a baseline reads them: a missing one is 0, and each is clipped to ±2²⁴, infinities too."""
    values = features.astype(np.float64)
    np.clip(values, -LARGEST_INTEGER, LARGEST_INTEGER, out=values)
    values[np.isnan(values)] = 0.0
    return values


@dataclass(frozen=True, config=RECORD)
class LogLinear:
    """log-odds = intercept + sum of weight * feature; the trees are boosted from it."""

    intercept: float
    weights: dict[str, float]
    """By feature; each is a float32 number, so that a graph in float32 has the same weights."""

    @property
    def vector(self) -> Floats:
        """The weights in order, shape (features,)."""
        return np.array(list(self.weights.values()), dtype=np.float64)

    def log_odds(self, columns: Columns) -> Floats:
        """Return the log-odds of rows whose columns stand in the order of `weights`, shape (n,)."""
        weights = self.vector
        if (read := weights != 0).all():
            values = clipped(columns)
        else:  # a column of weight 0 adds 0, whatever is in it
            values = np.zeros_like(columns, dtype=np.float64)
            values[:, read] = clipped(columns[:, read])
        return np.asarray(values @ weights + self.intercept)

    def over(self, features: Sequence[str]) -> "LogLinear":
        """Return the same function of more features: the weight of the others is 0.

        Raises
        ------
        ValueError
            A weight belongs to none of the features.
        """
        if unknown := sorted(set(self.weights) - set(features)):
            raise ValueError(f"baseline.weights: {unknown[0]!r} is not a feature of the model")
        return replace(self, weights={name: self.weights.get(name, 0.0) for name in features})


@dataclass(frozen=True, config=RECORD)
class Calibration:
    """Straight line from a model's own log-odds to calibrated ones (Platt 1999)."""

    slope: float
    intercept: float

    def of(self, log_odds: Floats) -> Floats:
        """Return calibrated log-odds, of the shape of `log_odds`."""
        return np.asarray(self.slope * log_odds + self.intercept)


UNCALIBRATED = Calibration(slope=1.0, intercept=0.0)


@dataclass(frozen=True, config=RECORD)
class CalibratedLogOdds:
    """The log-odds of rows: ``slope * (baseline + trees) + intercept``, moved by a prior, clipped at ± `limit`."""

    baseline: LogLinear | None = None
    calibration: Calibration = UNCALIBRATED
    limit: float | None = None
    """Log-odds, of either sign, that the model never exceeds."""
    base_log_odds: float | None = None
    """Log-odds of the share of positives that the model learnt from; None where it takes no prior."""

    def in_the_field(
        self, features: Sequence[str], *, limit: float, base_rate: float | None = None
    ) -> "CalibratedLogOdds":
        """Return the formula as it is exported: over all features, with a limit and perhaps a prior.

        Parameters
        ----------
        features
            Names of the model's features, in order.
        limit
            Log-odds, of either sign, that the model never exceeds.
        base_rate
            Share of positives that the model learnt from, 0 to 1, where the prior of a place may be fused with it.

        Raises
        ------
        ValueError
            The baseline weighs a feature that the model has not.
        """
        return replace(
            self,
            baseline=self.baseline and self.baseline.over(features),
            limit=limit,
            base_log_odds=None if base_rate is None else math.log(base_rate / (1 - base_rate)),
        )

    @property
    def slope(self) -> float:
        """Of the calibration."""
        return self.calibration.slope

    @property
    def intercept(self) -> float:
        """Of baseline and calibration together."""
        return self.slope * (0.0 if self.baseline is None else self.baseline.intercept) + self.calibration.intercept

    def own_log_odds(self, trees: Floats, columns: Columns) -> Floats:
        """Return the (n,) log-odds of the model itself: no prior, no limit.

        Parameters
        ----------
        trees
            (n,) log-odds of the trees alone.
        columns
            (n, weights of the baseline) the features that the baseline reads, in the order of its weights.
        """
        total = trees if self.baseline is None else self.baseline.log_odds(columns) + trees
        return self.calibration.of(total)

    def log_odds(self, own: Floats, prior_log_odds: Floats | None = None) -> Floats:
        """Return the (n,) log-odds that the model gives, of its `own_log_odds` and of (n,) priors."""
        return self.clip(own + self.shift(prior_log_odds))

    def shift(self, prior_log_odds: Floats | None) -> Floats:
        """Return what priors add to the log-odds, shape (n,); without one the base rate stands in and adds 0."""
        if prior_log_odds is None or self.base_log_odds is None:
            return np.zeros(1)
        return prior_log_odds - self.base_log_odds

    def clip(self, log_odds: Floats) -> Floats:
        """Return log-odds clipped at the limit."""
        return log_odds if self.limit is None else np.clip(log_odds, -self.limit, self.limit)
