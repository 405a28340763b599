"""Outcomes and probabilities -> skill; scikit-learn's definition wherever it has one."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

from pipeline.runtime.errors import StageError

Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


class UndefinedMetricError(StageError):
    """A metric that these rows do not define: an error, never an empty cell of a table."""


def skill(outcome: Mask, probability: Floats, *, bins: int) -> dict[str, float]:
    """Return what every model of probabilities is measured by.

    Parameters
    ----------
    outcome
        Whether it happened, shape (n,).
    probability
        That it would, shape (n,).
    bins
        Of the calibration error.

    Returns
    -------
    dict
        ``roc_auc``; ``pr_auc``, the average precision; ``log_loss`` in nats; ``brier``; ``ece``; and
        ``observed_over_expected``, the events over the sum of the probabilities.

    Raises
    ------
    UndefinedMetricError
        The rows are of one class, there are fewer rows than bins, or a probability is none.
    """
    _refuse_undefined(outcome, probability, bins)
    return {
        "roc_auc": float(roc_auc_score(outcome, probability)),
        "pr_auc": float(average_precision_score(outcome, probability)),
        "log_loss": float(log_loss(outcome, probability)),
        "brier": float(brier_score_loss(outcome, probability)),
        "ece": expected_calibration_error(outcome, probability, bins=bins),
        "observed_over_expected": float(outcome.sum() / probability.sum()),
    }


def row_log_loss(outcome: Mask, probability: Floats) -> Floats:
    """Return each row's logarithmic loss in nats, of the probability's shape; its mean is ``log_loss``.

    A probability of 0 or 1 counts as one that is float64's epsilon away from it.
    """
    smallest = np.finfo(np.float64).eps
    clipped = np.clip(probability, smallest, 1 - smallest)
    return np.asarray(-np.where(outcome, np.log(clipped), np.log1p(-clipped)))


def expected_calibration_error(outcome: Mask, probability: Floats, *, bins: int) -> float:
    """Return the mean distance between predicted and observed shares over bins of equal count.

    Naeini, Cooper and Hauskrecht (AAAI 2015), with quantile bins as Nixon et al. (CVPR workshops 2019) advise where
    probabilities crowd together.
    """
    predicted, observed, count = calibration_bins(outcome, probability, bins=bins)
    return float(np.average(np.abs(predicted - observed), weights=count))


def calibration_bins(outcome: Mask, probability: Floats, *, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return mean probability, share of positives and count of bins of equal count, each of shape (bins,).

    Rows of equal probability may fall on both sides of an edge; their order there is that of the rows.
    """
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    predicted = np.array([probability[part].mean() for part in parts])
    observed = np.array([outcome[part].mean() for part in parts])
    return predicted, observed, np.array([len(part) for part in parts], dtype=np.float64)


def detection_at_false_alarms(outcome: Mask, probability: Floats, *, share: float) -> float:
    """Return the largest share of hazards detected while at most `share` of the clutter raises an alarm."""
    false_alarms, detected, _ = roc_curve(outcome, probability, drop_intermediate=False)
    return float(detected[false_alarms <= share].max())


def threshold_of_detection(outcome: Mask, probability: Floats, *, share: float) -> float:
    """Return the highest threshold at and above which lie the probabilities of at least `share` of the hazards."""
    _, detected, thresholds = roc_curve(outcome, probability, drop_intermediate=False)
    return float(thresholds[np.argmax(detected >= share)])


def _refuse_undefined(outcome: Mask, probability: Floats, bins: int) -> None:
    positives = int(outcome.sum())
    if positives in (0, len(outcome)):
        raise UndefinedMetricError(f"metrics: {positives} of {len(outcome)} rows are positive; expected both outcomes")
    if len(outcome) < bins:
        raise UndefinedMetricError(f"metrics: {len(outcome)} rows for {bins} calibration bins; expected one a bin")
    if not np.all((probability >= 0) & (probability <= 1)):
        worst = probability[~((probability >= 0) & (probability <= 1))][0]
        raise UndefinedMetricError(f"metrics: got probability {worst}; expected 0 to 1")
