"""Rows of alarms -> the sensor model, and log-odds for each alarm from a model that never saw its group."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.model_selection import GroupKFold

from pipeline.cli import StageError
from pipeline.params import SensorBoosting
from pipeline.train import boosting
from pipeline.train.model import Columns, Fit, Floats, Mask, Matrix

Strings = npt.NDArray[np.str_]


HELD_OUT = pa.schema(
    [
        pa.field("detection_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("fold", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("log_odds", pa.float64(), nullable=False),
    ]
)
KEY = ("detection_id",)


def train(table: pa.Table, columns: Columns, settings: SensorBoosting) -> tuple[Fit, pa.Table]:
    """Fit the model on all rows of known outcome, and score each by a model that never saw its group.

    Parameters
    ----------
    table
        What `features` wrote.

    Returns
    -------
    fit : Fit
    held_out : Table
        `HELD_OUT`; the fold names the groups that were held out together.
    """
    known = table.filter(table["label"].is_valid())
    matrix, outcome = columns.of(known), known["label"].to_numpy() == 1
    groups = known["group_id"].to_numpy(zero_copy_only=False).astype(np.str_)
    found = fit(matrix, outcome, groups, columns, settings)
    fold, log_odds = held_out(matrix, outcome, groups, columns, settings)
    scored = {"fold": fold, "log_odds": log_odds}
    rows = {name: known[name] for name in ("detection_id", "group_id", "label")}
    return found, pa.table({**rows, **scored}, schema=HELD_OUT)


def fit(matrix: Matrix, outcome: Mask, groups: Strings, columns: Columns, settings: SensorBoosting) -> Fit:
    """Fit the sensor model on all rows.

    A few folds of whole groups each choose a number of trees for a model of the others; the model has their median, and
    is calibrated on what those models, with so many trees, say of the groups that they had not seen.

    Parameters
    ----------
    matrix
        Features, shape (n, f), NaN where missing.
    outcome
        Whether there was a hazard, shape (n,).
    groups
        Soil, lane or site of each row, shape (n,).

    Raises
    ------
    StageError
        There are fewer than two groups, or rows of one class only once a fold is held out.
    """
    folds = list(_folds(outcome, groups, settings.tuning_folds))
    fitted = [
        boosting.fit_until_best((matrix[seen], outcome[seen]), (matrix[held], outcome[held]), columns, settings)
        for seen, held in folds
    ]
    rounds = int(np.median([best for _, best in fitted]))
    unseen = np.empty(len(outcome))
    for (model, _), (_, held) in zip(fitted, folds, strict=True):
        unseen[held] = model.log_odds(matrix[held], rounds=rounds)
    final = boosting.fit(matrix, outcome, columns, settings, rounds=rounds)
    return Fit(
        model=final.calibrated(unseen, outcome),
        best_iteration=rounds,
        rows=len(outcome),
        positives=int(outcome.sum()),
        details={"groups": sorted(set(groups.tolist()))},
    )


def held_out(
    matrix: Matrix, outcome: Mask, groups: Strings, columns: Columns, settings: SensorBoosting
) -> tuple[list[str], Floats]:
    """Score each row by a model for which `fit` never saw the row's group, not even to choose or to calibrate.

    Returns
    -------
    fold : list of str, length n
        The groups that were held out together with the row's.
    log_odds : ndarray of float64, shape (n,)
    """
    fold = np.empty(len(outcome), dtype=np.object_)
    log_odds = np.empty(len(outcome))
    for seen, held in _folds(outcome, groups, settings.folds):
        model = fit(matrix[seen], outcome[seen], groups[seen], columns, settings).model
        fold[held] = "+".join(np.unique(groups[held]))
        log_odds[held] = model.log_odds(matrix[held])
    return fold.tolist(), log_odds


def _folds(outcome: Mask, groups: Strings, most: int) -> Iterator[tuple[Mask, Mask]]:
    """Yield which rows are seen and which held out, each group held out once, in one order whatever the rows' order."""
    names, number = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise StageError(f"train: the rows are of the groups {names.tolist()}; expected at least two, to hold one out")
    splitter = GroupKFold(n_splits=min(most, len(names)))
    for seen, held in splitter.split(groups, groups=number):
        if outcome[seen].all() or not outcome[seen].any():
            raise StageError(
                f"train: without the groups {np.unique(groups[held]).tolist()} all rows have one outcome; expected "
                "hazard and clutter in more groups"
            )
        yield seen, held
