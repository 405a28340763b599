"""Outcomes and probabilities -> the points of the plots, as tables."""

import numpy as np
import pyarrow as pa
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.evaluate.hot_spots import gain
from pipeline.evaluate.metrics import Floats, Mask, calibration_bins
from pipeline.splits import Instants

POINTS = 200
GAIN_SHARES = np.round(np.concatenate([np.arange(0.002, 0.02, 0.002), np.arange(0.02, 1.0001, 0.02)]), 3)


def reliability(outcome: Mask, probability: Floats, *, bins: int) -> pa.Table:
    """Return predicted and observed share of positives in bins of equal count."""
    predicted, observed, count = calibration_bins(outcome, probability, bins=bins)
    return pa.table({"predicted": predicted, "observed": observed, "rows": count.astype(np.int64)})


def precision_recall(outcome: Mask, probability: Floats) -> pa.Table:
    """Return recall and precision at about `POINTS` thresholds, equally far apart in recall."""
    precision, recall, _ = precision_recall_curve(outcome, probability)
    some = _spread(recall[::-1])
    return pa.table({"recall": recall[::-1][some], "precision": precision[::-1][some]})


def roc(outcome: Mask, probability: Floats) -> pa.Table:
    """Return share of false alarms and probability of detection at about `POINTS` thresholds."""
    false_alarms, detected, _ = roc_curve(outcome, probability)
    some = _spread(false_alarms)
    return pa.table({"false_alarm_share": false_alarms[some], "detection_probability": detected[some]})


def gains(outcome: Mask, probability: dict[str, Floats], cutoffs: Instants) -> pa.Table:
    """Return how much of what happened lies in the highest-ranked share of the cells, a column for each model."""
    columns = {name: gain(outcome, score, cutoffs, shares=GAIN_SHARES) for name, score in probability.items()}
    return pa.table({"area_share": GAIN_SHARES, **columns})


def _spread(ascending: Floats) -> np.ndarray:
    """Return indices of about `POINTS` entries, the first and the last among them."""
    wanted = np.searchsorted(ascending, np.linspace(ascending[0], ascending[-1], POINTS))
    return np.unique(np.concatenate([[0], wanted, [len(ascending) - 1]]))
