"""What stands around the trees: a baseline before them; calibration, prior, limit, interval and novelty after them.

What each gives here, in double, is what an exported graph is held against.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.intervals import IntervalTable
from pipeline.model.novelty import Novelty
from threat_scorer.scoring.features import LARGEST_INTEGER


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
    """The log-odds of a row: ``slope * (baseline + trees) + intercept``, moved by a prior, held within `limit`."""

    baseline: Baseline | None = None
    calibration: Calibration | None = None
    limit: float | None = None
    base_log_odds: float | None = None
    """Log-odds of the share of positives that the model learnt from; None where no prior is taken."""
    interval: IntervalTable | None = None
    novelty: Novelty | None = None

    @property
    def slope(self) -> float:
        """Of the calibration."""
        return 1.0 if self.calibration is None else self.calibration.slope

    @property
    def intercept(self) -> float:
        """Of baseline and calibration together."""
        baseline = 0.0 if self.baseline is None else self.baseline.intercept
        return self.slope * baseline + (0.0 if self.calibration is None else self.calibration.intercept)

    def own_log_odds(self, trees: NDArray[np.float64], features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the (rows,) log-odds of the model itself: no prior, no limit.

        Parameters
        ----------
        trees
            (rows,) log-odds of the trees alone.
        features
            (rows, features) as the model reads them.
        """
        total = trees if self.baseline is None else trees + self.baseline.log_odds(features)
        return total if self.calibration is None else self.calibration.slope * total + self.calibration.intercept

    def log_odds(
        self, own: NDArray[np.float64], prior_log_odds: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return the (rows,) log-odds that are given, of `own_log_odds` and of (rows,) priors."""
        total = own + self.shift(prior_log_odds)
        return total if self.limit is None else np.clip(total, -self.limit, self.limit)

    def shift(self, prior_log_odds: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return (rows,) what priors add to the log-odds; none is the base rate's, and adds nothing."""
        if prior_log_odds is None or self.base_log_odds is None:
            return np.zeros(1)
        return prior_log_odds - self.base_log_odds

    @classmethod
    def of(cls, fit: Mapping[str, Any], features: Sequence[str], *, takes_prior: bool, limit: float) -> "Stages":
        """Read the stages from the record of a fit.

        Parameters
        ----------
        fit
            ``{"base_rate": r, "baseline": {"intercept": b, "weights": {feature: w}}, "calibration": {"slope": a,
            "intercept": b}, "interval": ..., "novelty": ...}``; the last four may be absent.
        features
            The model's features, in order.
        takes_prior
            Whether the prior of a place may be fused with the model.
        limit
            Log-odds, of either sign, beyond which the model says no more.

        Raises
        ------
        ValueError
            The baseline weighs a feature that the model has not, or novelty is of others than the first features.
        """
        baseline, calibration = fit.get("baseline"), fit.get("calibration")
        novelty = Novelty.of_json(fit["novelty"]) if "novelty" in fit else None
        if novelty and novelty.inputs != tuple(features[: len(novelty.inputs)]):
            raise ValueError(f"novelty.inputs: got {list(novelty.inputs)}; expected the first of {list(features)}")
        if baseline and (unknown := sorted(set(baseline["weights"]) - set(features))):
            raise ValueError(f"baseline.weights: {unknown[0]!r} is not a feature of the model")
        return cls(
            baseline=baseline
            and Baseline(
                float(baseline["intercept"]), np.array([baseline["weights"].get(name, 0.0) for name in features], float)
            ),
            calibration=calibration and Calibration(float(calibration["slope"]), float(calibration["intercept"])),
            limit=limit,
            base_log_odds=math.log(fit["base_rate"] / (1 - fit["base_rate"])) if takes_prior else None,
            interval=IntervalTable.of_json(fit["interval"]) if "interval" in fit else None,
            novelty=novelty,
        )
