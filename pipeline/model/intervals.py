"""Held-out log-odds, outcomes and groups -> an interval for the probability of any log-odds, as a small table.

Two uncertainties give its width. The first is that the held-out rows are few. Venn-Abers predictors (Vovk and Petej,
UAI 2014) calibrate twice: with the row as a miss, and as a hit. That gives two probabilities. The second is
how far a soil or lane never seen may lie off all others. It is a random shift of the log-odds by group. The shift has a
prediction interval (Higgins, Thompson and Spiegelhalter, JRSS A 172, 2009).
"""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, logsumexp
from sklearn.isotonic import isotonic_regression

from pipeline.storage.records import RECORD, FloatArray

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BINS = 64
"""Steps of the table at most: of equal count, so that an interval is of no fewer rows anywhere."""
LEAST_IN_BIN = 10
FURTHEST = 12.0
"""Log-odds that stand for a calibrated probability of 0 or 1."""
LARGEST_SPREAD = 4.0
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)


@dataclass(frozen=True, config=RECORD)
class IntervalTable:
    """Lower and upper log-odds for each step of log-odds; arrays of shape (steps,), `edges` one shorter."""

    level: float
    """Share of new groups that the interval is meant for."""
    group_spread: float
    """Standard deviation of the groups' log-odds around the log-odds that the model gave."""
    edges: FloatArray
    """Log-odds above which the next step begins, rising."""
    low: FloatArray
    high: FloatArray

    def of(self, log_odds: Floats) -> tuple[Floats, Floats]:
        """Return lower and upper log-odds, shape (n,) each; the model's own lie between them."""
        step = np.searchsorted(self.edges, log_odds)
        return np.minimum(self.low[step], log_odds), np.maximum(self.high[step], log_odds)


def fit(log_odds: Floats, outcome: Mask, groups: npt.NDArray[Any], *, level: float) -> IntervalTable:
    """Learn the table.

    Parameters
    ----------
    log_odds
        Of rows that the model had not seen, nor any of their group; shape (n,).
    outcome, groups
        Whether it was a hazard, and the group, shape (n,).
    level
        Share of new groups whose probability the interval should contain.
    """
    bins = np.array_split(np.sort(log_odds), max(1, min(BINS, len(log_odds) // LEAST_IN_BIN)))
    edges = np.unique([(before[-1] + after[0]) / 2 for before, after in pairwise(bins)])
    step = np.searchsorted(edges, log_odds)
    miss, hit = _venn_abers(*(np.bincount(step, weights).astype(np.float64) for weights in (outcome, None)))
    spread, error = _group_spread(log_odds, outcome, groups)
    count = len(np.unique(groups))
    # of a new group: its own shift, and the error of the mean of so few groups
    reach = float(stats.t.ppf((1 + level) / 2, max(count - 2, 1))) * np.hypot(spread, error)
    low, high = (np.clip(logit(side), -FURTHEST, FURTHEST) for side in (miss, hit))
    return IntervalTable(level, spread, edges, low - reach, high + reach)


def _venn_abers(hazards: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Return the calibrated probability at each step with one row more there: a miss, and a hit."""
    both = []
    for outcome in (0.0, 1.0):
        calibrated = np.empty(len(rows))
        for step in range(len(rows)):
            added = (np.arange(len(rows)) == step).astype(np.float64)
            share = (hazards + outcome * added) / (rows + added)
            calibrated[step] = isotonic_regression(share, sample_weight=rows + added)[step]
        both.append(calibrated)
    return both[0], both[1]


def _group_spread(log_odds: Floats, outcome: Mask, groups: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the standard deviation of the groups' shifts, by maximum likelihood, and the error of their mean.

    Each group's outcomes are those of log-odds + shift. The shift is drawn from a normal distribution around 0, and
    integrated out by Gauss and Hermite's rule.
    """
    names, number = np.unique(groups, return_inverse=True)

    def by_group(spread: float) -> Floats:
        shifted = log_odds[:, None] + spread * _NODES
        # log of the chance of the outcome: -log(1 + e^-x) of its side
        of_rows = -np.logaddexp(0.0, np.where(outcome[:, None], -shifted, shifted))
        of_groups = np.zeros((len(names), len(_NODES)))
        np.add.at(of_groups, number, of_rows)
        return of_groups

    def loss(spread: float) -> float:
        return -float(logsumexp(by_group(spread), b=_WEIGHTS, axis=1).sum())

    best = float(minimize_scalar(loss, bounds=(0.0, LARGEST_SPREAD), method="bounded").x)
    chance = expit(log_odds)
    information = np.bincount(number, weights=chance * (1 - chance))
    return best, float(1 / np.sqrt((1 / (best**2 + 1 / np.maximum(information, 1e-9))).sum()))
