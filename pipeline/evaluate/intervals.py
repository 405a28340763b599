"""Outcomes, probabilities and groups -> an interval of each metric, had other groups been met."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluate.bootstrap import COVERAGE
from pipeline.evaluate.metrics import Floats, Mask, row_log_loss


def over_groups(
    outcome: Mask,
    probability: Floats,
    group: npt.NDArray[Any],
    *,
    bins: int,
    alarm_shares: Sequence[float],
    samples: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Return the percentile interval of each metric under a bootstrap of whole groups.

    Whole groups are drawn with replacement (Efron and Tibshirani 1993, chapter 8); a draw without hazards or without
    clutter does not count. With few groups the interval is rough, and too narrow rather than too wide.

    Parameters
    ----------
    outcome, probability, group
        Of each row, shape (n,).
    bins
        Of the calibration error, with the edges of all rows.
    alarm_shares
        Shares of false alarms at which the probability of detection is wanted.

    Returns
    -------
    dict
        ``low`` and ``high`` by the metric's name, as in `metrics.skill`, and ``pd_at_far_<share>``.
    """
    names, number = np.unique(group, return_inverse=True)
    rows = _Rows(outcome, probability, number, bins=bins, alarm_shares=alarm_shares)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=samples)
    hazards, alarms = drawn @ np.bincount(number, weights=outcome), drawn @ np.bincount(number)
    found = [rows.measured(times) for times in drawn[(hazards > 0) & (hazards < alarms)].astype(np.float64)]
    edges = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    intervals = {name: np.quantile([values[name] for values in found], edges) for name in found[0]}
    return {name: {"low": float(low), "high": float(high)} for name, (low, high) in intervals.items()}


class _Rows:
    """Rows in the order of their probability and sums by group, so that a draw of groups takes a few more sums."""

    def __init__(
        self,
        outcome: Mask,
        probability: Floats,
        group: npt.NDArray[np.int64],
        *,
        bins: int,
        alarm_shares: Sequence[float],
    ) -> None:
        falling = np.argsort(-probability, kind="stable")
        probability, outcome, group = probability[falling], outcome[falling], group[falling]
        self._group, self._hazard = group, outcome.astype(np.float64)
        self._last_of_ties = np.flatnonzero(np.append(np.diff(probability) != 0, True))
        self._alarm_shares = alarm_shares
        excess = probability - outcome
        self._rows = np.bincount(group)
        self._loss = np.bincount(group, weights=row_log_loss(outcome, probability))
        self._squares = np.bincount(group, weights=excess**2)
        bin_number = np.repeat(np.arange(bins), [len(part) for part in np.array_split(excess, bins)])
        by_bin = np.bincount(group * bins + bin_number, weights=excess, minlength=len(self._rows) * bins)
        self._excess = by_bin.reshape(-1, bins)

    def measured(self, times: Floats) -> dict[str, float]:
        """Return the metrics where each group counts so many times."""
        weight = times[self._group]
        hazards = np.cumsum(weight * self._hazard)[self._last_of_ties]
        alarms = np.cumsum(weight)[self._last_of_ties]
        clutter = alarms - hazards
        detected, alarmed = np.append(0.0, hazards / hazards[-1]), np.append(0.0, clutter / clutter[-1])
        precision = hazards / np.maximum(alarms, 1.0)  # where there is no row yet, recall takes no step either
        return {
            "roc_auc": float(np.trapezoid(detected, alarmed)),
            "pr_auc": float(np.diff(detected) @ precision),
            "log_loss": float(times @ self._loss / alarms[-1]),
            "brier": float(times @ self._squares / alarms[-1]),
            "ece": float(np.abs(times @ self._excess).sum() / alarms[-1]),
            **{f"pd_at_far_{share:g}": float(detected[alarmed <= share].max()) for share in self._alarm_shares},
        }
