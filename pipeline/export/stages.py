"""What stands between the trees and the probability: a linear baseline before them, a calibration after them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threat_scorer.features import LARGEST_INTEGER


@dataclass(frozen=True)
class Baseline:
    """Linear log-odds that the trees were boosted from.

    A missing value counts as 0, and every value is held within ±2²⁴, so that no infinity reaches the sum.
    """

    intercept: float
    weights: NDArray[np.float64]
    """(features,) log-odds for each unit of each feature; 0 where the baseline does not look."""

    def log_odds(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the (rows,) log-odds of (rows, features)."""
        return held(features) @ self.weights + self.intercept


def held(features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the values as a baseline reads them."""
    filled = np.nan_to_num(features.astype(np.float64), nan=0.0)
    return np.clip(filled, -LARGEST_INTEGER, LARGEST_INTEGER)


@dataclass(frozen=True)
class Calibration:
    """Log-odds that the calibration makes of the model's: slope * log-odds + intercept (Platt, 1999)."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Stages:
    """The log-odds of a row: ``slope * (baseline + trees) + intercept``, held within `limit`."""

    baseline: Baseline | None = None
    calibration: Calibration | None = None
    limit: float | None = None

    def log_odds(self, trees: NDArray[np.float64], features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the (rows,) log-odds in double: what every exported form is held against.

        Parameters
        ----------
        trees
            (rows,) log-odds of the trees alone.
        features
            (rows, features) as the model reads them.
        """
        total = trees if self.baseline is None else trees + self.baseline.log_odds(features)
        if self.calibration is not None:
            total = self.calibration.slope * total + self.calibration.intercept
        return total if self.limit is None else np.clip(total, -self.limit, self.limit)

    @classmethod
    def of(cls, fit: Mapping[str, Any], features: Sequence[str]) -> "Stages":
        """Read the stages from the record of a fit: its keys `baseline`, `calibration`, `log_odds_limit`, if there.

        Parameters
        ----------
        fit
            ``{"baseline": {"intercept": b, "weights": {feature: w}}, "calibration": {"slope": a, "intercept": b},
            "log_odds_limit": c}``; each may be absent.
        features
            The model's features, in order.

        Raises
        ------
        ValueError
            The baseline weighs a feature that the model has not.
        """
        baseline, calibration = fit.get("baseline"), fit.get("calibration")
        if baseline and (unknown := sorted(set(baseline["weights"]) - set(features))):
            raise ValueError(f"baseline.weights: {unknown[0]!r} is not a feature of the model")
        return cls(
            baseline=baseline
            and Baseline(
                float(baseline["intercept"]), np.array([baseline["weights"].get(name, 0.0) for name in features], float)
            ),
            calibration=calibration and Calibration(float(calibration["slope"]), float(calibration["intercept"])),
            limit=fit.get("log_odds_limit"),
        )
