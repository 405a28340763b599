"""Outcomes, probabilities and groups of alarms -> skill, with what an interval over other groups would have been."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluate.group_intervals import over_groups
from pipeline.params import Evaluate
from pipeline.validation.metrics import Floats, Mask, detection_at_false_alarms, skill


def group_skill(
    outcome: Mask,
    probability: Floats,
    group: npt.NDArray[Any],
    settings: Evaluate,
    *,
    group_area_m2: float | None = None,
) -> dict[str, Any]:
    """Return the skill of one model's probabilities as JSON data.

    Parameters
    ----------
    outcome, probability, group
        Of each alarm, shape (n,).
    group_area_m2
        Ground that the sensors searched in each group; None where nobody knows.

    Returns
    -------
    dict
        As `metrics.skill`; ``pd_at_far``: the probability of detection by share of the clutter that raises an alarm;
        ``pd_at_alarms_per_m2``, where the area is known: the same by false alarms per square metre; ``intervals``.
    """
    _, number = np.unique(group, return_inverse=True)
    area_m2 = None if group_area_m2 is None else group_area_m2 * (int(number.max()) + 1)
    found: dict[str, Any] = {
        **skill(outcome, probability, bins=settings.calibration_bins),
        "pd_at_far": {
            f"{share:g}": detection_at_false_alarms(outcome, probability, share=share)
            for share in settings.alarm_shares
        },
    }
    if area_m2 is not None:
        clutter = int((~outcome).sum())
        found["pd_at_alarms_per_m2"] = {
            f"{rate:g}": detection_at_false_alarms(outcome, probability, share=rate * area_m2 / clutter)
            for rate in settings.alarms_per_m2
        }
    found["intervals"] = over_groups(outcome, probability, group, settings, area_m2=area_m2)
    return found
