"""Outcomes, probabilities and groups of alarms -> skill, each metric with its interval over groups."""

import dataclasses
import math
from functools import partial

import numpy as np
import numpy.typing as npt

from pipeline.model.skill_records import Interval, Skill
from pipeline.params.stages import Evaluate
from pipeline.validation.bootstrap import EDGES, BlockDraws
from pipeline.validation.cumulative import CumulativeByGroup
from pipeline.validation.metrics import Floats, Mask, detection_at_false_alarms, row_log_loss, skill


def group_skill(
    outcome: Mask,
    probability: Floats,
    draws: BlockDraws,
    settings: Evaluate,
    *,
    group_area_m2: float | None = None,
    worst_group: float | None = None,
) -> Skill:
    """Return the skill of one model's probabilities of alarms.

    Parameters
    ----------
    outcome, probability
        Of each alarm, shape (n,).
    draws
        Of the alarms' groups.
    settings
        Shares and rates of false alarms, and the bins of the calibration error.
    group_area_m2
        Ground that the sensors searched in each group; None where nobody knows.
    worst_group
        Becomes ``roc_auc_worst_group``.
    """
    area_m2 = None if group_area_m2 is None else group_area_m2 * draws.blocks
    detection = partial(detection_at_false_alarms, outcome, probability)
    at_far = {f"{share:g}": detection(share=share) for share in settings.alarm_shares}
    per_m2, clutter = None, int((~outcome).sum())
    if area_m2 is not None:
        per_m2 = {f"{rate:g}": detection(share=rate * area_m2 / clutter) for rate in settings.alarms_per_m2}
    return dataclasses.replace(
        skill(outcome, probability, bins=settings.calibration_bins),
        pd_at_far=at_far,
        pd_at_alarms_per_m2=per_m2,
        intervals=over_groups(outcome, probability, draws, settings, area_m2=area_m2),
        roc_auc_worst_group=worst_group,
    )


def over_groups(
    outcome: Mask, probability: Floats, draws: BlockDraws, settings: Evaluate, *, area_m2: float | None = None
) -> dict[str, Interval]:
    """Return the percentile interval of each metric under a bootstrap of whole groups.

    Whole groups are drawn with replacement (Efron and Tibshirani 1993, chapter 8). A draw without hazards or without
    clutter does not count. With few groups the interval is rough, and too narrow rather than too wide.

    Parameters
    ----------
    outcome, probability
        Of each row, shape (n,).
    draws
        Of the rows' groups.
    settings
        The bins of the calibration error have the edges of all rows.
    area_m2
        Ground searched in all groups, the same in each; None where nobody knows.

    Returns
    -------
    dict
        By the metric's name, as in `metrics.skill`, ``pd_at_far_<share>``, and where the area is known
        ``pd_at_alarms_per_m2_<rate>``.
    """
    hazards = draws.times @ np.bincount(draws.block, weights=outcome)
    times = draws.times[(hazards > 0) & (hazards < draws.times @ draws.rows)]
    measured = {
        **_losses(outcome, probability, draws.block, times, bins=settings.calibration_bins),
        **_ranks(outcome, probability, draws.block, times, settings, area_m2=area_m2),
    }
    ends = {name: np.quantile(values, EDGES) for name, values in measured.items()}
    return {name: Interval(low=float(low), high=float(high)) for name, (low, high) in ends.items()}


def _losses(
    outcome: Mask, probability: Floats, group: npt.NDArray[np.int64], times: Floats, *, bins: int
) -> dict[str, Floats]:
    """Return the metrics that are means over rows, of each draw: they need only the sums of each group."""
    groups = times.shape[1]
    alarms = times @ np.bincount(group, minlength=groups).astype(np.float64)
    falling = np.argsort(-probability, kind="stable")
    excess = (probability - outcome)[falling]
    bin_number = np.repeat(np.arange(bins), [len(part) for part in np.array_split(excess, bins)])
    by_bin = np.bincount(group[falling] * bins + bin_number, weights=excess, minlength=groups * bins)
    return {
        "log_loss": times @ np.bincount(group, weights=row_log_loss(outcome, probability)) / alarms,
        "brier": times @ np.bincount(group, weights=(probability - outcome) ** 2) / alarms,
        "ece": np.abs(times @ by_bin.reshape(groups, bins)).sum(axis=1) / alarms,
    }


def _ranks(
    outcome: Mask,
    probability: Floats,
    group: npt.NDArray[np.int64],
    times: Floats,
    settings: Evaluate,
    *,
    area_m2: float | None,
) -> dict[str, Floats]:
    """Return the metrics of the order of the rows, of each draw."""
    counts = CumulativeByGroup.of(outcome, probability, group)
    clutter = times @ counts.clutter[-1]
    rates = [] if area_m2 is None else settings.alarms_per_m2
    return {
        "roc_auc": counts.roc_auc(times),
        "pr_auc": counts.average_precision(times),
        **{f"pd_at_far_{share:g}": counts.detected(times, clutter, share) for share in settings.alarm_shares},
        **{
            f"pd_at_alarms_per_m2_{rate:g}": counts.detected(times, np.ones(len(times)), rate * (area_m2 or math.nan))
            for rate in rates
        },
    }
