"""Cutoffs of an area task -> which for training, which for testing: a horizon apart, so that no label is in both."""

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
class Split:
    """Which rows a model learns from and is tested on, shape (n,) each; the rows of the embargo are in neither."""

    train: Mask
    test: Mask


def cutoffs_of(task: AreaTask) -> Instants:
    """Return every cutoff of a task, datetime64[us], from the start of training until a horizon before the end of test.

    The last cutoffs have labels for the shorter horizons only.
    """
    first, last = midnight(task.train_from), midnight(task.test_until) - timedelta(days=min(task.horizons_days))
    step = np.timedelta64(task.cutoff_every_days, "D")
    return np.arange(instant(first), instant(last) + np.timedelta64(1, "us"), step)


def split(cutoffs: Instants, task: AreaTask, *, horizon_days: int) -> Split:
    """Split rows by their cutoff: training labels end by ``test_from``, test features begin there.

    A training label covers (cutoff, cutoff + horizon], so the last horizon before ``test_from``, the embargo, is left
    out of training; test cutoffs stand at or after ``test_from``.
    """
    test_from = instant(midnight(task.test_from))
    label_until = cutoffs + np.timedelta64(horizon_days, "D")
    until = instant(midnight(task.test_until))
    return Split(train=label_until <= test_from, test=(cutoffs >= test_from) & (label_until <= until))


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
