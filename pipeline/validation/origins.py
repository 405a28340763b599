"""Cutoffs of an area task -> rolling origins: what each model learns from and what it speaks of, a horizon apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.params import AreaTask, midnight
from pipeline.runtime.errors import StageError

Instants: TypeAlias = npt.NDArray[np.datetime64]
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
    """Whether it stands in the test; the others rehearse in the training period."""


def cutoffs_of(task: AreaTask) -> Instants:
    """Return every cutoff of a task, datetime64[us], from the start of training to the end of the data.

    What follows the last ones is not known yet: nothing learns from them and nothing is measured by them. They are
    what planners ask for.
    """
    first, last = instant(midnight(task.train_from)), instant(midnight(task.test_until))
    return np.arange(first, last + np.timedelta64(1, "us"), np.timedelta64(task.cutoff_every_days, "D"))


def origins(cutoffs: Instants, task: AreaTask, *, rehearsals: int) -> list[Origin]:
    """Return the rolling origins of a task in order: some that rehearse before the test, then those of the test.

    Origins stand ``retrain_every_days`` apart, so that one stands at ``test_from`` (Tashman, International Journal of
    Forecasting 2000). Each model is fitted on all rows whose labels end by its origin and speaks until the next one.

    Raises
    ------
    StageError
        A block has no row, or an origin nothing to learn from.
    """
    test_from, until = instant(midnight(task.test_from)), instant(midnight(task.test_until))
    step = np.timedelta64(task.retrain_every_days, "D")
    label_until = cutoffs + np.timedelta64(task.horizon_days, "D")
    known = label_until <= until
    last = max(test_from, *cutoffs[known][-1:])
    starts = np.arange(test_from - rehearsals * step, last + np.timedelta64(1, "us"), step)
    found = [
        Origin(
            at=start,
            train=label_until <= start,
            block=known & (cutoffs >= start) & (cutoffs < start + step),
            tested=bool(start >= test_from),
        )
        for start in starts
    ]
    for origin in found:
        if not (origin.train.any() and origin.block.any()):
            raise StageError(
                f"origin {origin.at}: {int(origin.train.sum())} rows to learn from and {int(origin.block.sum())} to "
                f"speak of; expected both: an earlier train_from than {task.train_from}, fewer than {rehearsals} "
                f"rehearsals, or a retrain_every_days of at least cutoff_every_days"
            )
    return found


def rehearsed(cutoffs: Instants, origins: Sequence[Origin], k: int, *, horizon_days: int, rehearsals: int) -> Mask:
    """Return the rows of the blocks before origin `k` whose outcomes were known at it, shape (n,).

    Models fitted at earlier origins spoke of them without having seen them: by these rows the model of origin `k`
    is chosen and calibrated.
    """
    earlier = origins[k - rehearsals : k]
    spoken_of = np.any([origin.block for origin in earlier], axis=0)
    return np.asarray(spoken_of & (cutoffs + np.timedelta64(horizon_days, "D") <= origins[k].at))


def blocks(cutoffs: Instants, *, horizon_days: int) -> npt.NDArray[np.int64]:
    """Return the block of each cutoff, shape (n,): blocks are a horizon long, from the first cutoff on.

    Labels of cutoffs nearer to each other than that overlap and say the same thing twice. A bootstrap that drew such
    cutoffs one by one would call a difference surer than it is.

    Examples
    --------
    >>> blocks(np.arange("2022-01-01", "2022-03-01", 14, dtype="datetime64[D]"), horizon_days=28).tolist()
    [0, 0, 1, 1, 2]
    """
    return np.asarray((cutoffs - cutoffs.min()) // np.timedelta64(horizon_days, "D"))


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


def instant(moment: Any) -> np.datetime64:
    """Return an aware datetime as numpy's UTC instant, in microseconds."""
    return np.datetime64(moment.replace(tzinfo=None), "us")
