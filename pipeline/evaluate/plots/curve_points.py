"""Outcomes and probabilities of several models -> the points of the plots, as tables: the shipped model comes first."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.evaluate import hot_spots
from pipeline.model.cutoffs import Instants
from pipeline.model.skill_records import ORACLE, SHIPPED, SubgroupSkill
from pipeline.validation.metrics import Floats, Mask, calibration_bins

POINTS = 200
SHARES = np.round(np.concatenate([np.arange(0.002, 0.02, 0.002), np.arange(0.02, 1.0001, 0.02)]), 3)
SLACK = 1e-12
"""Largest difference, by rounding, between a share that counts give and one of an even grid."""

Probabilities = Mapping[str, Floats]


def chosen(comparison: SubgroupSkill, probability: Probabilities) -> dict[str, Floats]:
    """Return the models that a plot shows: the shipped one, its best baseline and, where it is known, the truth."""
    names = (SHIPPED, comparison.best_baseline, ORACLE)
    return {name: probability[name] for name in names if name in probability}


def of_places(outcome: Mask, probability: Probabilities, cutoffs: Instants, *, bins: int) -> dict[str, pa.Table]:
    """Return the points of each plot of an area model, by the plot's name.

    Parameters
    ----------
    outcome
        Whether an event followed, shape (n,).
    probability
        By model, shape (n,); the shipped model comes first.
    cutoffs
        Of each row, shape (n,).
    bins
        Of the reliability diagram.
    """
    return {
        "reliability": reliability(outcome, probability, bins=bins),
        **gain_and_lift(outcome, probability, cutoffs, of="area_share"),
        "precision_recall": precision_recall(outcome, probability),
        "roc": roc(outcome, probability),
    }


def of_alarms(
    outcome: Mask, probability: Probabilities, group: npt.NDArray[Any], *, bins: int, group_area_m2: float | None
) -> dict[str, pa.Table]:
    """Return the points of each plot of a sensor model, by the plot's name; `operating` where the area is known.

    Parameters
    ----------
    outcome, probability, bins
        As of `of_places`.
    group
        Of each alarm, shape (n,).
    group_area_m2
        Ground that the sensors searched in each group; None where nobody knows.
    """
    together = np.zeros(len(outcome), dtype="datetime64[us]")
    plots = {
        "reliability": reliability(outcome, probability, bins=bins),
        "roc": roc(outcome, probability),
        **gain_and_lift(outcome, probability, together, of="alarm_share"),
        "precision_recall": precision_recall(outcome, probability),
    }
    if group_area_m2 is None:
        return plots
    return {**plots, "operating": operating(outcome, probability, area_m2=group_area_m2 * len(np.unique(group)))}


def reliability(outcome: Mask, probability: Probabilities, *, bins: int) -> pa.Table:
    """Return predicted and observed share of positives in bins of equal count.

    Parameters
    ----------
    outcome, probability, bins
        As of `of_places`.

    Returns
    -------
    Table
        ``predicted`` and ``observed`` of the first model, and ``rows`` of its bins. The columns of the others end in
        their names.
    """
    columns: dict[str, Any] = {}
    for index, (name, values) in enumerate(probability.items()):
        predicted, observed, count = calibration_bins(outcome, values, bins=bins)
        suffix = f"_{name}" if index else ""
        columns |= {f"predicted{suffix}": predicted, f"observed{suffix}": observed}
        columns |= {} if index else {"rows": count.astype(np.int64)}
    return pa.table(columns)


def precision_recall(outcome: Mask, probability: Probabilities) -> pa.Table:
    """Return each model's precision at the highest threshold that reaches a recall."""
    recalls = np.arange(1, POINTS + 1) / POINTS
    columns = {}
    for name, values in probability.items():
        precision, recall, _ = precision_recall_curve(outcome, values)
        columns[name] = precision[::-1][np.searchsorted(recall[::-1], recalls - SLACK)]
    return pa.table({"recall": recalls, **columns})


def roc(outcome: Mask, probability: Probabilities) -> pa.Table:
    """Return each model's probability of detection while at most a share of what was none raises an alarm."""
    shares = np.arange(POINTS + 1) / POINTS
    return pa.table({"false_alarm_share": shares, **_detected(outcome, probability, shares)})


def operating(outcome: Mask, probability: Probabilities, *, area_m2: float) -> pa.Table:
    """Return each model's probability of detection at rates of false alarms per square metre of searched ground.

    The rates go from one false alarm on all the ground to an alarm at every piece of clutter. Their logarithms are
    equally far apart.

    Parameters
    ----------
    outcome, probability
        As of `of_places`.
    area_m2
        Searched ground of all groups together.
    """
    clutter = int((~outcome).sum())
    rates = np.geomspace(1.0, clutter, POINTS) / area_m2
    detected = _detected(outcome, probability, rates * area_m2 / clutter)
    return pa.table({"false_alarms_per_m2": rates, **detected})


def gain_and_lift(outcome: Mask, probability: Probabilities, cutoffs: Instants, *, of: str) -> dict[str, pa.Table]:
    """Return how much of what happened lies in each cutoff's highest-ranked rows, and how many times what chance finds.

    Parameters
    ----------
    outcome, probability, cutoffs
        As of `of_places`.
    of
        Name of the column with the share of the rows that is searched; it is never less than one row.
    """
    gain, lift = {}, {}
    for name, score in probability.items():
        gain[name], lift[name] = hot_spots.gain_and_lift(outcome, score, cutoffs, shares=SHARES)
    return {"gain": pa.table({of: SHARES, **gain}), "lift": pa.table({of: SHARES, **lift})}


def _detected(outcome: Mask, probability: Probabilities, shares: Floats) -> dict[str, Floats]:
    """Return by model the largest share of positives found while at most each share of the negatives is too."""
    columns = {}
    for name, values in probability.items():
        false_alarms, detected, _ = roc_curve(outcome, values, drop_intermediate=False)
        columns[name] = detected[np.searchsorted(false_alarms, shares + SLACK, side="right") - 1]
    return columns
