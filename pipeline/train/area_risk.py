"""Rows of cells and cutoffs -> the area model, fitted anew at rolling origins: the last one's is shipped."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.model.fitted import Columns, Fit, Floats, Mask, Model
from pipeline.params import AreaBoosting, AreaTask
from pipeline.runtime.local_days import day_of
from pipeline.storage.schemas import UTC
from pipeline.train import boosting
from pipeline.validation import origins as splits
from pipeline.validation import rolling
from pipeline.validation.origins import Instants, Origin
from pipeline.validation.rolling import Chosen

Strings = npt.NDArray[np.str_]

HELD_OUT = pa.schema(
    [
        pa.field("cutoff", UTC, nullable=False),
        pa.field("cell", pa.string(), nullable=False),
        pa.field("fold", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("log_odds", pa.float64(), nullable=False),
    ]
)


def train(table: pa.Table, columns: Columns, task: AreaTask, settings: AreaBoosting) -> tuple[Fit, pa.Table, pa.Table]:
    """Fit the model at each origin on what was known then, and let it speak of the rows until the next.

    At each origin of the test the blocks before it, of which models fitted earlier have spoken, choose the number of
    trees and calibrate. There every row counts alike; in the fits, as `sample_weights` says.

    Parameters
    ----------
    table
        What `features` wrote.
    task
        Of the horizon that the rows were made for.

    Returns
    -------
    fit : Fit
        The model of the last origin.
    held_out : Table
        `HELD_OUT`, every row of the test: the fold is the day of the origin whose model speaks.
    calibration : Table
        `HELD_OUT`, of the rows that calibrate the first origin of the test.

    Raises
    ------
    StageError
        There are too few cutoffs, or rows of one class only.
    """
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    outcome = table["label"].to_numpy(zero_copy_only=False) == 1
    trust = table["trust"].to_numpy()
    origins = splits.origins(cutoffs, task, rehearsals=settings.rehearsals)
    labels_until = splits.labels_until(cutoffs, task)
    matrix = columns.of(table)
    last: list[Model] = []

    def speak(origin: Origin) -> Floats:
        rows, stands_for = rolling.thinned(
            origin.train, outcome, most_negatives=settings.most_negatives, seed=settings.seed
        )
        weights = stands_for * sample_weights(outcome[rows], trust[rows])
        model = boosting.fit(
            matrix[rows], outcome[rows], columns, settings, rounds=settings.rounds[-1], weights=weights
        )
        last[:] = [model]
        return model.log_odds_by_rounds(matrix[origin.block], settings.rounds)

    found = rolling.forecast(outcome, labels_until, origins, speak, rehearsals=settings.rehearsals)
    chosen = found.chosen[-1]
    rounds, learned = settings.rounds[chosen.candidate], chosen.origin.train
    fit = Fit(
        model=dataclasses.replace(last[0].of_first(rounds), calibration=chosen.calibration),
        best_iteration=rounds,
        rows=int(learned.sum()),
        positives=int(outcome[learned].sum()),
        details={
            "horizon_days": task.horizon_days,
            "train_from": f"{cutoffs[learned].min()}Z",
            "labels_until": f"{labels_until[learned].max()}Z",
            "origins": [_told(one, labels_until, outcome, settings, task) for one in found.chosen],
        },
    )
    fold = np.full(len(cutoffs), "", dtype="U11")
    for one in found.chosen:
        fold[one.origin.block] = _day(one, task)
    tested, before = ~np.isnan(found.log_odds), ~np.isnan(found.rehearsed_log_odds)
    fold[before] = "calibration"
    return (
        fit,
        _predictions(table, tested, outcome, found.log_odds, fold),
        _predictions(table, before, outcome, found.rehearsed_log_odds, fold),
    )


def _told(
    chosen: Chosen, labels_until: Instants, outcome: Mask, settings: AreaBoosting, task: AreaTask
) -> dict[str, Any]:
    learned = chosen.origin.train
    return {
        "at": f"{chosen.origin.at}Z",
        "day": _day(chosen, task),
        "labels_until": f"{labels_until[learned].max()}Z",
        "rows": int(learned.sum()),
        "positives": int(outcome[learned].sum()),
        "rounds": settings.rounds[chosen.candidate],
        "calibration": dataclasses.asdict(chosen.calibration),
        "calibration_rows": int(chosen.rehearsed.sum()),
    }


def _day(chosen: Chosen, task: AreaTask) -> str:
    """Return the theatre's day that begins at an origin: it names the fold."""
    return str(day_of(chosen.origin.at, task.zone))


def _predictions(table: pa.Table, some: Mask, outcome: Mask, log_odds: Floats, fold: Strings) -> pa.Table:
    rows = table.select(["cutoff", "cell"]).filter(pa.array(some))
    columns = [*rows.columns, pa.array(fold[some]), pa.array(outcome[some].astype(np.int8)), pa.array(log_odds[some])]
    return pa.table(columns, schema=HELD_OUT)


def sample_weights(outcome: Mask, trust: Floats) -> Floats:
    """Return how much each row counts in a fit, shape (n,): a positive row as far as its reports are trusted.

    Their mean is 1, as of the other rows, so that how often something happens stays as it is. A positive row whose
    reports nobody judged counts 1.

    Examples
    --------
    >>> sample_weights(np.array([False, True, True, True]), np.array([np.nan, 0.9, 0.3, np.nan])).tolist()
    [1.0, 1.5, 0.5, 1.0]
    """
    judged = outcome & ~np.isnan(trust)
    weights = np.ones(len(outcome))
    if judged.any():
        weights[judged] = trust[judged] / trust[judged].mean(dtype=np.float64)
    return weights
