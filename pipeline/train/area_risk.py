"""Rows of cells and cutoffs -> the area model, fitted anew at rolling origins: the last one's is shipped."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.model.cutoffs import Instants, labels_until
from pipeline.model.fit_record import AreaFitRecord, OriginFit
from pipeline.model.fitted import Columns, Fit, Floats, Mask, Model
from pipeline.params.datasets import AreaTask
from pipeline.params.stages import AreaBoosting
from pipeline.runtime.local_days import day_of
from pipeline.storage.marking import Marking
from pipeline.storage.schemas import UTC
from pipeline.train import boosting
from pipeline.validation import rolling
from pipeline.validation.origins import Origin, rolling_origins
from pipeline.validation.rolling import Choice

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


@dataclass(frozen=True)
class AreaFit(Fit):
    """The model of area risk that is shipped, and the origins of the test."""

    settings: AreaBoosting
    horizon_days: int
    train_from: str
    labels_until: str
    origins: list[OriginFit]

    def record(self, *, features_digest: str, marking: Marking) -> AreaFitRecord:
        """Return the record of the fit; the arguments are those of `common_fields`."""
        return AreaFitRecord(
            **self.common_fields(features_digest=features_digest, marking=marking),
            params=self.settings,
            horizon_days=self.horizon_days,
            train_from=self.train_from,
            labels_until=self.labels_until,
            origins=self.origins,
        )


def train(
    table: pa.Table, columns: Columns, task: AreaTask, settings: AreaBoosting
) -> tuple[AreaFit, pa.Table, pa.Table]:
    """Fit the model at each origin on what was known then, and predict the rows until the next.

    At each origin of the test, the blocks before it choose the number of trees and calibrate: models fitted earlier
    have predicted them. There every row counts alike; in the fits, as `sample_weights` says.

    Parameters
    ----------
    table
        The rows that `features` wrote, with `cutoff`, `cell`, `label` and `trust`.
    columns
        The model's features.
    task
        Of the horizon that the rows were made for.
    settings
        How each model is fitted.

    Returns
    -------
    fit : AreaFit
        The model of the last origin.
    held_out : Table
        `HELD_OUT`, every row of the test: the fold is the day of the origin whose model predicts it.
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
    origins = rolling_origins(cutoffs, task, calibration_blocks=settings.calibration_blocks)
    until = labels_until(cutoffs, task)
    matrix = columns.of(table)

    def fit_and_predict(origin: Origin) -> tuple[Floats, Model]:
        rows, stands_for = rolling.thinned(
            origin.train, outcome, most_negatives=settings.most_negatives, seed=settings.seed
        )
        weights = stands_for * sample_weights(outcome[rows], trust[rows])
        model = boosting.fit(
            matrix[rows], outcome[rows], columns, settings, rounds=settings.rounds[-1], weights=weights
        )
        return model.log_odds_by_rounds(matrix[origin.block], settings.rounds), model

    forecast = rolling.forecast(
        outcome,
        until,
        origins,
        fit_and_predict,
        calibration_blocks=settings.calibration_blocks,
        name=f"area_risk_{task.horizon_days}d",
    )
    last = forecast.choices[-1]
    rounds, learned = settings.rounds[last.candidate], last.origin.train
    fit = AreaFit(
        model=dataclasses.replace(forecast.model.of_first(rounds), calibration=last.calibration),
        best_iteration=rounds,
        rows=int(learned.sum()),
        positives=int(outcome[learned].sum()),
        settings=settings,
        horizon_days=task.horizon_days,
        train_from=f"{cutoffs[learned].min()}Z",
        labels_until=f"{until[learned].max()}Z",
        origins=[_origin_fit(choice, until, outcome, settings, task) for choice in forecast.choices],
    )
    fold = np.full(len(cutoffs), "", dtype="U11")
    for choice in forecast.choices:
        fold[choice.origin.block] = _day(choice, task)
    tested, before = ~np.isnan(forecast.log_odds), ~np.isnan(forecast.calibration_log_odds)
    fold[before] = "calibration"
    return (
        fit,
        _predictions(table, tested, outcome, forecast.log_odds, fold),
        _predictions(table, before, outcome, forecast.calibration_log_odds, fold),
    )


def _origin_fit(choice: Choice, until: Instants, outcome: Mask, settings: AreaBoosting, task: AreaTask) -> OriginFit:
    learned = choice.origin.train
    return OriginFit(
        at=f"{choice.origin.at}Z",
        day=_day(choice, task),
        labels_until=f"{until[learned].max()}Z",
        rows=int(learned.sum()),
        positives=int(outcome[learned].sum()),
        rounds=settings.rounds[choice.candidate],
        calibration=choice.calibration,
        calibration_rows=int(choice.calibration_rows.sum()),
    )


def _day(choice: Choice, task: AreaTask) -> str:
    """Return the theatre's day that begins at an origin: it names the fold."""
    return str(day_of(choice.origin.at, task.zone))


def _predictions(table: pa.Table, rows: Mask, outcome: Mask, log_odds: Floats, fold: Strings) -> pa.Table:
    keys = table.select(["cutoff", "cell"]).filter(pa.array(rows))
    columns = [*keys.columns, pa.array(fold[rows]), pa.array(outcome[rows].astype(np.int8)), pa.array(log_odds[rows])]
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
