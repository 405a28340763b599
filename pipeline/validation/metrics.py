"""Outcomes and probabilities -> skill; scikit-learn's definition wherever it has one."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from pipeline.model.skill_records import Skill
from pipeline.runtime.errors import StageError

Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


class UndefinedMetricError(StageError):
    """A metric that these rows do not define: an error, never an empty cell of a table."""


def skill(outcome: Mask, probability: Floats, *, bins: int) -> Skill:
    """Return the metrics that every model of probabilities has.

    The definitions are scikit-learn's. The rows are sorted once for all of them.

    Parameters
    ----------
    outcome
        Whether it happened, shape (n,).
    probability
        That it would, shape (n,).
    bins
        Of the calibration error.

    Raises
    ------
    UndefinedMetricError
        The rows are of one class, there are fewer rows than bins, or a probability is none.
    """
    _refuse_undefined(outcome, probability, bins)
    rising = np.argsort(probability, kind="stable")
    roc_auc, pr_auc = _areas(outcome[rising[::-1]], probability[rising[::-1]])
    return Skill(
        roc_auc=roc_auc,
        pr_auc=pr_auc,
        log_loss=float(row_log_loss(outcome, probability).mean()),
        brier=float(((probability - outcome) ** 2).mean()),
        ece=_calibration_error(outcome[rising], probability[rising], bins),
        observed_over_expected=float(outcome.sum() / probability.sum()),
    )


def _areas(outcome: Mask, falling: Floats) -> tuple[float, float]:
    """Return the area under the ROC curve, and average precision, of rows in the order of falling probability."""
    last_of_ties = np.flatnonzero(np.append(np.diff(falling) != 0, True))
    hits = np.cumsum(outcome)[last_of_ties]
    rows = last_of_ties + 1
    false_alarms = rows - hits
    steps = np.diff(hits, prepend=0)
    # pairs in the wrong order, a tie counting as half of one: whole numbers, as long as they are doubled
    wrong = steps @ (false_alarms + np.append(0, false_alarms[:-1])) / 2
    pairs = int(hits[-1]) * int(false_alarms[-1])
    return float(1 - wrong / pairs), float((steps / hits[-1]) @ (hits / rows))


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

    Parameters
    ----------
    outcome, probability, bins
        As of `skill`.
    """
    rising = np.argsort(probability, kind="stable")
    return _calibration_error(outcome[rising], probability[rising], bins)


def calibration_bins(outcome: Mask, probability: Floats, *, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return mean probability, share of positives and count of bins of equal count, each of shape (bins,).

    Rows of equal probability may fall on both sides of an edge; their order there is that of the rows.

    Parameters
    ----------
    outcome, probability, bins
        As of `skill`.
    """
    rising = np.argsort(probability, kind="stable")
    return _bins(outcome[rising], probability[rising], bins)


def _calibration_error(outcome: Mask, rising: Floats, bins: int) -> float:
    predicted, observed, count = _bins(outcome, rising, bins)
    return float(np.average(np.abs(predicted - observed), weights=count))


def _bins(outcome: Mask, rising: Floats, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return the bins of rows in the order of rising probability."""
    predicted = np.array([part.mean() for part in np.array_split(rising, bins)])
    observed, count = zip(*((part.mean(), len(part)) for part in np.array_split(outcome, bins)), strict=True)
    return predicted, np.array(observed), np.array(count, dtype=np.float64)


def detection_at_false_alarms(outcome: Mask, probability: Floats, *, share: float) -> float:
    """Return the largest share of hazards detected while at most `share` of the clutter raises an alarm.

    Parameters
    ----------
    outcome, probability
        As of `skill`.
    share
        Of the clutter, 0 to 1.
    """
    false_alarms, detected, _ = roc_curve(outcome, probability, drop_intermediate=False)
    return float(detected[false_alarms <= share].max())


def threshold_of_detection(outcome: Mask, probability: Floats, *, share: float) -> float:
    """Return the highest threshold at and above which lie the probabilities of at least `share` of the hazards.

    Parameters
    ----------
    outcome, probability
        As of `skill`.
    share
        Of the hazards, above 0 to 1.
    """
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
