"""Rows of cells and cutoffs -> the area model; later cutoffs choose the number of trees, still later ones calibrate."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline import splits
from pipeline.cli import StageError
from pipeline.params import AreaBoosting, AreaTask
from pipeline.splits import Instants
from pipeline.tables import UTC
from pipeline.train import boosting
from pipeline.train.model import Columns, Fit, Floats, Mask, Matrix


@dataclass(frozen=True)
class Blocks:
    """Training rows in the order of time, shape (n,) each; between two blocks a horizon's cutoffs are in none."""

    fit: Mask
    validation: Mask
    before_calibration: Mask
    """The first two, and what the embargo between them left out."""
    calibration: Mask


@dataclass(frozen=True)
class AreaFit(Fit):
    """A fitted area model, and how it did on the rows that calibrate it."""

    calibration_log_odds: Floats
    """Calibrated log-odds of the calibration block, by the model that had learned from the rows before it only."""


HELD_OUT = pa.schema(
    [
        pa.field("cutoff", UTC, nullable=False),
        pa.field("cell", pa.string(), nullable=False),
        pa.field("fold", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("log_odds", pa.float64(), nullable=False),
    ]
)
KEY = ("cutoff", "cell")


def train(
    table: pa.Table, columns: Columns, task: AreaTask, settings: AreaBoosting
) -> tuple[AreaFit, pa.Table, pa.Table]:
    """Fit the model on the training rows, and score the test's, which begin where the last training label ends.

    Parameters
    ----------
    table
        What `features` wrote.
    task
        Its first horizon is the one that the model speaks of.

    Returns
    -------
    fit : AreaFit
    held_out : Table
        `HELD_OUT`; the fold is the day on which the training's labels end.
    calibration : Table
        `HELD_OUT`, of the calibration block: by the model that learned from the rows before it, calibrated.
    """
    horizon = task.horizons_days[0]
    label = f"label_{horizon}d"
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    split = splits.split(cutoffs, task, horizon_days=horizon)
    learned, tested = table.filter(pa.array(split.train)), table.filter(pa.array(split.test))
    outcome = learned[label].to_numpy() == 1
    found = fit(
        columns.of(learned),
        outcome,
        cutoffs[split.train],
        columns,
        weights=sample_weights(outcome, learned[f"trust_{horizon}d"].to_numpy()),
        settings=settings,
        horizon_days=horizon,
    )
    held_out = _predictions(tested, label, found.model.log_odds(columns.of(tested)), fold=f"after {task.test_from}")
    blocks = time_blocks(cutoffs[split.train], settings, horizon_days=horizon)
    calibration = _predictions(
        learned.filter(pa.array(blocks.calibration)), label, found.calibration_log_odds, fold="calibration"
    )
    return found, held_out, calibration


def _predictions(rows: pa.Table, label: str, log_odds: Floats, *, fold: str) -> pa.Table:
    return pa.table(
        {
            "cutoff": rows["cutoff"],
            "cell": rows["cell"],
            "fold": pa.repeat(fold, rows.num_rows),
            "label": rows[label],
            "log_odds": log_odds,
        },
        schema=HELD_OUT,
    )


def fit(
    matrix: Matrix,
    outcome: Mask,
    cutoffs: Instants,
    columns: Columns,
    *,
    weights: Floats,
    settings: AreaBoosting,
    horizon_days: int,
) -> AreaFit:
    """Fit the area model, three times: for the number of trees, for the calibration, and on everything.

    The weights are for learning: which number of trees is best, and the calibration, count every row alike.

    Parameters
    ----------
    matrix
        Features of the training rows, shape (n, f).
    outcome, cutoffs
        Of the training rows, shape (n,).
    weights
        How much each training row counts, shape (n,), as from `sample_weights`.

    Raises
    ------
    StageError
        There are too few cutoffs, or a block has rows of one class only.
    """
    blocks = time_blocks(cutoffs, settings, horizon_days=horizon_days)
    for name in ("fit", "validation", "calibration"):
        seen = outcome[getattr(blocks, name)]
        if seen.all() or not seen.any():
            raise StageError(
                f"train: {int(seen.sum())} of the {len(seen)} rows of the {name} block are positive; expected some, "
                "and not all. Does the training period hold events?"
            )

    def rows(some: Mask) -> tuple[Matrix, Mask]:
        return matrix[some], outcome[some]

    _, rounds = boosting.fit_until_best(
        rows(blocks.fit), rows(blocks.validation), columns, settings, weights=weights[blocks.fit]
    )
    before = blocks.before_calibration
    earlier = boosting.fit(*rows(before), columns, settings, rounds=rounds, weights=weights[before])
    unseen, happened = rows(blocks.calibration)
    final = boosting.fit(matrix, outcome, columns, settings, rounds=rounds, weights=weights)
    model = final.calibrated(earlier.log_odds(unseen), happened)
    return AreaFit(
        model=model,
        calibration_log_odds=dataclasses.replace(earlier, calibration=model.calibration).log_odds(unseen),
        best_iteration=rounds,
        rows=len(outcome),
        positives=int(outcome.sum()),
        details={
            "horizon_days": horizon_days,
            "train_from": f"{cutoffs.min()}Z",
            "calibration_from": f"{cutoffs[blocks.calibration].min()}Z",
            "labels_until": f"{cutoffs.max() + np.timedelta64(horizon_days, 'D')}Z",
        },
    )


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


def time_blocks(cutoffs: Instants, settings: AreaBoosting, *, horizon_days: int) -> Blocks:
    """Divide training rows by their cutoff; a block's labels end before the next block's first cutoff.

    Raises
    ------
    StageError
        There are too few cutoffs for three blocks.
    """
    moments = np.unique(cutoffs)
    calibrating = max(1, round(len(moments) * settings.calibration_share))
    validating = max(1, round(len(moments) * settings.validation_share))
    if calibrating + validating < len(moments):
        from_calibration = moments[-calibrating]
        from_validation = moments[-calibrating - validating]
        labels_until = cutoffs + np.timedelta64(horizon_days, "D")
        before_calibration = labels_until <= from_calibration
        blocks = Blocks(
            fit=labels_until <= from_validation,
            validation=(cutoffs >= from_validation) & before_calibration,
            before_calibration=before_calibration,
            calibration=cutoffs >= from_calibration,
        )
        if blocks.fit.any() and blocks.validation.any():
            return blocks
    raise StageError(
        f"train: {len(moments)} training cutoffs, of which the last {calibrating} calibrate and the {validating} "
        f"before them validate, leave none to fit or to validate once {horizon_days} days are kept between the blocks; "
        "expected an earlier train_from, a later test_from or smaller shares"
    )
