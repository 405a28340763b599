"""Tables and an area task -> the rows of the training period alone, as they were known on the day the test began.

What no search may see is cut away before anything is computed: a report that came later is not there, a version that
was corrected later still stands. Which reports are of one event is as `ingest` has judged it, on all that it read.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from pipeline.features import area_risk
from pipeline.model.fitted import Columns
from pipeline.params import AreaTask, Params
from pipeline.runtime.errors import StageError
from pipeline.runtime.local_days import midnight
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.read import open_tables
from pipeline.storage.versions import as_it_stood

TABLES = ("incidents", "observations", "places")


@dataclass(frozen=True)
class Inside:
    """What a search learns from and is scored on."""

    task: AreaTask
    """Its test is the tuned period: the last periods of the training, which end where the real test begins."""
    table: pa.Table
    columns: Columns

    def digest(self) -> str:
        """Return ``sha256:<hex>`` of all that a fit reads of the rows, and of the task."""
        state = hashlib.sha256(repr((self.task, self.columns)).encode())
        for name in self.table.column_names:
            if name not in ("cell", "reported_by"):
                state.update(np.ascontiguousarray(self.table[name].to_numpy()).tobytes())
        return f"sha256:{state.hexdigest()}"


def read(declared: Params, paths: DatasetPaths, model: str, *, retrain_periods: int) -> Inside:
    """Read the tables of a dataset, and build the rows of a task whose test is the tuned period.

    They are built anew, not taken from data/features: there the self-exciting process has been fitted, and the cells
    have been chosen, by all that was known when the real test began.

    Parameters
    ----------
    retrain_periods
        Length of the tuned period. What happened from the task's `test_from` on, or became known then, is not looked
        at.

    Raises
    ------
    StageError
        A table is missing, or there is no training so long before the test.
    """
    task = declared.area_task(paths.dataset, model)
    shifted, end = shift(task, retrain_periods=retrain_periods), midnight(task.test_from, task.zone)
    tables = open_tables(paths.dataset, TABLES)
    incidents, observations, places = (as_it_stood(tables[name], end) for name in TABLES)
    rows = area_risk.build(
        incidents,
        observations,
        places,
        theatre=declared.theatre(paths.dataset),
        task=shifted,
        features=declared.features.area_risk,
        admiralty=declared.admiralty,
    )
    names = tuple(feature.name for feature in rows.features)
    return Inside(shifted, rows.table, Columns(names, linear=tuple(name for name in names if name in rows.linear)))


def shift(task: AreaTask, *, retrain_periods: int) -> AreaTask:
    """Return the task whose test ends where this one's begins, and is so many periods between two fits long.

    Raises
    ------
    StageError
        So long before the test, there is no training yet.
    """
    start = task.test_from - timedelta(days=retrain_periods * task.retrain_every_days)
    if start <= task.train_from:
        raise StageError(
            f"params.yaml: tune.retrain_periods: {retrain_periods} periods of {task.retrain_every_days} days before "
            f"{task.test_from} begin on {start}; expected a day after train_from, {task.train_from}: fewer periods"
        )
    return dataclasses.replace(task, test_from=start, test_until=task.test_from)
