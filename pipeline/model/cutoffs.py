"""An area task -> its cutoffs, the instants at which risk is foretold, and when the label of each ends."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.params.datasets import AreaTask
from pipeline.runtime.local_days import later, midnights

Instants: TypeAlias = npt.NDArray[np.datetime64]
"""UTC, datetime64[us]."""


def cutoffs_of(task: AreaTask) -> Instants:
    """Return every cutoff of a task, datetime64[us], from the start of training to the end of the data.

    Each is the instant at which a day of the theatre begins, so many calendar days after the one before.
    The labels of the last ones are not known yet. No fit and no metric reads them; planners use them.
    """
    first, last = np.datetime64(task.train_from, "D"), np.datetime64(task.test_until, "D")
    # each once: a day that a calendar skipped, as Samoa's did, begins when the next one does
    return np.unique(midnights(np.arange(first, last + 1, task.cutoff_every_days), task.zone))


def labels_until(cutoffs: Instants, task: AreaTask) -> Instants:
    """Return when the label of each cutoff ends, shape (n,): a horizon of calendar days later, itself not counted."""
    return later(cutoffs, task.horizon_days, task.zone)


def instant(moment: Any) -> np.datetime64:
    """Return an aware datetime as numpy's UTC instant, in microseconds."""
    return np.datetime64(moment.replace(tzinfo=None), "us")
