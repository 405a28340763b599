"""Cutoffs of an area task -> rolling origins: what each model learns from and what it speaks of, a horizon apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.cli import StageError
from pipeline.params import AreaTask, midnight

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
    """Return every cutoff of a task, datetime64[us], from the start of training until a horizon before the end of test.

    The last cutoffs have labels for the shorter horizons only.
    """
    first, last = midnight(task.train_from), midnight(task.test_until) - timedelta(days=min(task.horizons_days))
    step = np.timedelta64(task.cutoff_every_days, "D")
    return np.arange(instant(first), instant(last) + np.timedelta64(1, "us"), step)


def origins(cutoffs: Instants, task: AreaTask, *, horizon_days: int, rehearsals: int) -> list[Origin]:
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
    label_until = cutoffs + np.timedelta64(horizon_days, "D")
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
