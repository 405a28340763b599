"""Outcomes, probabilities and groups -> an interval of each metric, had other groups been met."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.params import Evaluate
from pipeline.validation.bootstrap import COVERAGE
from pipeline.validation.metrics import Floats, Mask, row_log_loss


def over_groups(
    outcome: Mask,
    probability: Floats,
    group: npt.NDArray[Any],
    settings: Evaluate,
    *,
    area_m2: float | None = None,
) -> dict[str, dict[str, float]]:
    """Return the percentile interval of each metric under a bootstrap of whole groups.

    Whole groups are drawn with replacement (Efron and Tibshirani 1993, chapter 8); a draw without hazards or without
    clutter does not count. With few groups the interval is rough, and too narrow rather than too wide.

    Parameters
    ----------
    outcome, probability, group
        Of each row, shape (n,).
    settings
        The bins of the calibration error have the edges of all rows.
    area_m2
        Ground searched in all groups, the same in each; None where nobody knows.

    Returns
    -------
    dict
        ``low`` and ``high`` by the metric's name, as in `metrics.skill`, ``pd_at_far_<share>``, and where the area is
        known ``pd_at_alarms_per_m2_<rate>``.
    """
    names, number = np.unique(group, return_inverse=True)
    rows = _Rows(outcome, probability, number, settings, area_m2=area_m2)
    even = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(settings.seed).multinomial(len(names), even, size=settings.bootstrap_samples)
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
        settings: Evaluate,
        *,
        area_m2: float | None,
    ) -> None:
        bins = settings.calibration_bins
        falling = np.argsort(-probability, kind="stable")
        probability, outcome, group = probability[falling], outcome[falling], group[falling]
        self._group, self._hazard = group, outcome.astype(np.float64)
        self._last_of_ties = np.flatnonzero(np.append(np.diff(probability) != 0, True))
        self._alarm_shares = settings.alarm_shares
        rates = [] if area_m2 is None else settings.alarms_per_m2
        self._most_false = {rate: rate * (area_m2 or 0.0) for rate in rates}
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
            **{
                f"pd_at_alarms_per_m2_{rate:g}": float(detected[np.append(0.0, clutter) <= most].max())
                for rate, most in self._most_false.items()
            },
        }
