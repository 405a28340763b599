"""Tables and an area task -> the rows of the training period, as known on the day the test began.

Everything later is cut away first. A report that came later is missing, and a version that was corrected later is
still valid. `ingest` decides which reports are of one event, on all that it read.
"""

import dataclasses
from datetime import timedelta

from pipeline.features import area_risk
from pipeline.model.fitted import Columns
from pipeline.params import Params
from pipeline.params.datasets import AreaTask
from pipeline.runtime.errors import StageError
from pipeline.runtime.local_days import midnight
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.read import open_tables
from pipeline.storage.versions import as_it_stood
from pipeline.tune.search import TrainingPeriod

TABLES = ("incidents", "observations", "places")


def read(declared: Params, paths: DatasetPaths, model: str, *, retrain_periods: int) -> TrainingPeriod:
    """Read the tables of a dataset, and build the rows of a task whose test is the tuned period.

    They are built anew. In data/features all that was known when the real test began has fitted the self-exciting
    process and chosen the cells.

    Parameters
    ----------
    declared
        All of params.yaml.
    paths
        Of the dataset, whose tables are read.
    model
        Name of a model of area risk.
    retrain_periods
        Length of the tuned period. Nothing that happened or became known from the task's `test_from` on is read.

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
    columns = Columns(names, linear=tuple(feature.name for feature in rows.features if feature.linear))
    return TrainingPeriod(shifted, rows.table, columns)


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
