"""Training rows -> what a planner could do without the area model, each with calibrated probabilities.

Every baseline learns from the shipped model's training rows and by its protocol: fitted on the rows before the
calibration block, lined up with the outcomes of that block, and then fitted again on all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit

from pipeline import loglinear
from pipeline.evaluate.metrics import Floats, Mask, row_log_loss

RUNNING_MEAN = "label_log1p_per_year_ring0"


@dataclass(frozen=True)
class Rows:
    """Which rows of the features table a baseline learns from and predicts, shape (n,) each."""

    train: Mask
    before_calibration: Mask
    """Training rows whose labels end before the calibration block begins."""
    calibration: Mask
    """Training rows of that block."""
    test: Mask


def probabilities(
    table: pa.Table, outcome: Mask, rows: Rows, *, linear: Sequence[str], horizon_days: int, ridge: float
) -> dict[str, Floats]:
    """Return each baseline's probabilities of the test rows, by the baseline's name.

    Parameters
    ----------
    table
        Features of all rows.
    outcome
        Of all rows, shape (n,); those of the test are not looked at.
    linear
        The features that `logistic_regression` reads, under a penalty of `ridge` as in `loglinear.fit`.

    Returns
    -------
    dict
        ``base_rate``: the share of positives in training. ``last_period``: the events of the last horizon.
        ``running_mean``: events a year since the first data. ``decayed_counts``: events in the cell, halved every so
        many days, with the half-life of the lowest log-loss in training. ``decayed_rings``: the same and the rings of
        neighbours around the cell, each with its own weight. ``logistic_regression``: all the features.
    """
    decays = _decays(table.column_names)
    half_life = min(decays, key=lambda days: _training_loss(table, outcome, rows, decays[days][:1]))
    one_rate = np.full(int(rows.test.sum()), outcome[rows.train].mean())
    return {
        "base_rate": one_rate,
        "last_period": _predict(table, outcome, rows, [f"label_log1p_last{horizon_days}d"]),
        "running_mean": _predict(table, outcome, rows, [RUNNING_MEAN]),
        "decayed_counts": _predict(table, outcome, rows, decays[half_life][:1]),
        "decayed_rings": _predict(table, outcome, rows, decays[half_life]),
        "logistic_regression": _predict(table, outcome, rows, linear, ridge=ridge),
    }


def _predict(table: pa.Table, outcome: Mask, rows: Rows, names: Sequence[str], *, ridge: float = 0.0) -> Floats:
    earlier = loglinear.fit(
        names, _columns(table, names, rows.before_calibration), outcome[rows.before_calibration], ridge=ridge
    )
    unseen = earlier.log_odds(_columns(table, names, rows.calibration))
    line = loglinear.fit(["log_odds"], unseen[:, None], outcome[rows.calibration])
    final = loglinear.fit(names, _columns(table, names, rows.train), outcome[rows.train], ridge=ridge)
    return np.asarray(expit(line.log_odds(final.log_odds(_columns(table, names, rows.test))[:, None])))


def _training_loss(table: pa.Table, outcome: Mask, rows: Rows, names: Sequence[str]) -> float:
    columns, seen = _columns(table, names, rows.train), outcome[rows.train]
    fitted = loglinear.fit(names, columns, seen).log_odds(columns)
    return float(row_log_loss(seen, np.asarray(expit(fitted))).mean())


def _decays(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the label's decayed counts by half-life: the cell's own first, then ring by ring."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name.startswith("label_log1p_decay") and "_ring" in name:
            found.setdefault(name.rpartition("_ring")[0], []).append(name)
    return found


def _columns(table: pa.Table, names: Sequence[str], some: Mask) -> Floats:
    return np.column_stack([table[name].to_numpy()[some] for name in names])
