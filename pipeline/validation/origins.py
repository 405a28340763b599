"""Cutoffs of an area task -> rolling origins: the rows that a model learns from, and those that it predicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.model.cutoffs import Instants, instant, labels_until
from pipeline.params import AreaTask
from pipeline.runtime.errors import StageError
from pipeline.runtime.local_days import days_of, midnight, midnights

Mask: TypeAlias = npt.NDArray[np.bool_]


class LeakError(StageError):
    """A row of the test that the training could have seen."""


@dataclass(frozen=True)
class Origin:
    """A moment at which the model is fitted anew, and the rows on its two sides; masks of shape (n,)."""

    at: np.datetime64
    train: Mask
    """Rows whose labels end by then: between them and the block lies the embargo, a horizon."""
    block: Mask
    """Rows from then until the next origin, whose labels are known: the model has not seen them."""
    tested: bool
    """Whether it stands in the test. The blocks of the others, in the training period, calibrate."""


def rolling_origins(cutoffs: Instants, task: AreaTask, *, calibration_blocks: int) -> list[Origin]:
    """Return the rolling origins of a task in order: those of the calibration blocks, then those of the test.

    Origins stand ``retrain_every_days`` apart, so that one stands at ``test_from`` (Tashman, International Journal of
    Forecasting 2000). The model of an origin learns from all rows whose labels end by it. It predicts the rows from
    there until the next origin.

    Parameters
    ----------
    cutoffs
        Of all rows, datetime64[us], shape (n,).
    task
        Where training and test begin and end, and how often the model is fitted anew.
    calibration_blocks
        Number of origins before the test.

    Raises
    ------
    StageError
        A block has no row, or an origin nothing to learn from.
    """
    test_from, step = np.datetime64(task.test_from, "D"), task.retrain_every_days
    test_begins = instant(midnight(task.test_from, task.zone))
    label_until = labels_until(cutoffs, task)
    known = label_until <= instant(midnight(task.test_until, task.zone))
    last = max(test_from, *days_of(cutoffs[known][-1:], task.zone))
    first = test_from - calibration_blocks * step
    # one more than there are: where the last block ends
    starts = midnights(np.arange(first, last + 1 + step, step), task.zone)
    origins = [
        Origin(
            at=start,
            train=label_until <= start,
            block=known & (cutoffs >= start) & (cutoffs < following),
            tested=bool(start >= test_begins),
        )
        for start, following in pairwise(starts)
    ]
    for origin in origins:
        if not (origin.train.any() and origin.block.any()):
            raise StageError(
                f"origin {origin.at}: {int(origin.train.sum())} rows to learn from and {int(origin.block.sum())} to "
                f"predict; expected both: an earlier train_from than {task.train_from}, fewer than "
                f"{calibration_blocks} calibration_blocks, or a retrain_every_days of at least cutoff_every_days"
            )
    return origins


def calibration_rows(labels_until: Instants, origins: Sequence[Origin], k: int, *, calibration_blocks: int) -> Mask:
    """Return the rows of the blocks before origin `k` whose labels had ended by it, shape (n,).

    Models fitted at earlier origins predicted these rows without having seen them. The rows choose and calibrate the
    model of origin `k`.

    Parameters
    ----------
    labels_until
        Of all rows, shape (n,), as the function of that name returns it.
    origins
        As `rolling_origins` returns them.
    k
        Index of an origin, at least `calibration_blocks`.
    calibration_blocks
        Number of blocks before it.
    """
    earlier = origins[k - calibration_blocks : k]
    predicted = np.any([origin.block for origin in earlier], axis=0)
    return np.asarray(predicted & (labels_until <= origins[k].at))


def blocks(cutoffs: Instants, *, horizon_days: int) -> npt.NDArray[np.int64]:
    """Return the block of each cutoff, shape (n,): blocks are a horizon long, from the first cutoff on.

    Cutoffs are midnights of one zone: whole days apart but for an hour or two where the clocks changed.
    Labels of cutoffs that are less than a horizon apart overlap. A bootstrap that drew such cutoffs one by one would
    give intervals that are too narrow.

    Examples
    --------
    >>> blocks(np.arange("2022-01-01", "2022-03-01", 14, dtype="datetime64[D]"), horizon_days=28).tolist()
    [0, 0, 1, 1, 2]
    """
    days = (cutoffs - cutoffs.min() + np.timedelta64(12, "h")) // np.timedelta64(1, "D")
    return np.asarray(days // horizon_days)


def refuse_overlap(tested: Instants, *, labels_until: Any, where: str) -> None:
    """Refuse test cutoffs that stand before the last label of the training has ended.

    Parameters
    ----------
    tested
        Cutoffs of the test rows.
    labels_until
        Instant at which the period of the last training label ends.
    where
        Opens the message.

    Raises
    ------
    LeakError
        A test cutoff is earlier.
    """
    if len(tested) and tested.min() < labels_until:
        raise LeakError(
            f"{where}: test cutoff {tested.min()} stands before {labels_until}, until when training labels reach; "
            "expected an embargo of at least a horizon between them"
        )
