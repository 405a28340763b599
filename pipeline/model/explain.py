"""A fitted model and rows of features -> log-odds, and what each group of features adds to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.model.catalogue import by_group
from pipeline.model.fit_record import FitRecord
from pipeline.model.fitted import ONE_THREAD
from pipeline.validation.metrics import Floats


@dataclass(frozen=True)
class Scores:
    """What the model predicts for rows, and why."""

    log_odds: Floats
    """Calibrated, shape (n,)."""
    groups: tuple[str, ...]
    added: Floats
    """What each group of features adds to the log-odds over the mean of these rows, shape (n, groups).

    A row's sum is its log-odds less the mean log-odds.
    """


def score(rows: pa.Table, booster: lightgbm.Booster, fit: FitRecord, groups: Sequence[str]) -> Scores:
    """Score rows, and part their log-odds among the groups of features.

    The baseline's part is exact: weight times feature. The trees' is TreeSHAP (Lundberg et al., Nature Machine
    Intelligence 2020), as LightGBM computes it.

    Parameters
    ----------
    rows
        With the model's features, float32.
    booster
        The model's trees.
    fit
        Record of the fit: its `features`, `baseline` and `calibration` are read.
    groups
        Of the features, in the model's order, as the catalogue says.
    """
    return Scores(log_odds(rows, booster, fit), *by_group(groups, contributions(rows, booster, fit)))


def contributions(rows: pa.Table, booster: lightgbm.Booster, fit: FitRecord) -> Floats:
    """Return what each feature adds to the log-odds over the mean of these rows, shape (n, features).

    Parameters
    ----------
    rows, booster, fit
        As of `score`.
    """
    names, baseline = fit.features, fit.baseline
    matrix = _matrix(rows, names)
    linear = [names.index(name) for name in baseline.weights]
    # the last column is the trees' own mean: the same for all rows
    trees = booster.predict(matrix, pred_contrib=True, num_iteration=-1, **ONE_THREAD)
    added = np.asarray(trees, dtype=np.float64)[:, :-1]
    added[:, linear] += matrix[:, linear].astype(np.float64) * baseline.vector
    return np.asarray(fit.calibration.slope * (added - added.mean(axis=0)))


def log_odds(rows: pa.Table, booster: lightgbm.Booster, fit: FitRecord) -> Floats:
    """Return the model's calibrated log-odds of rows, shape (n,).

    Parameters
    ----------
    rows, booster, fit
        As of `score`.
    """
    names = fit.features
    matrix = _matrix(rows, names)
    trees = np.asarray(booster.predict(matrix, raw_score=True, num_iteration=-1, **ONE_THREAD))
    columns = matrix[:, [names.index(name) for name in fit.baseline.weights]]
    return fit.formula.own_log_odds(trees, columns)


def _matrix(rows: pa.Table, names: list[str]) -> npt.NDArray[np.float32]:
    return np.column_stack([rows[name].to_numpy() for name in names])
