"""Rows of features -> the log-odds of a fitted model."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.model.log_odds import UNCALIBRATED, CalibratedLogOdds, Calibration, LogLinear
from pipeline.storage.marking import Marking

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ONE_THREAD: dict[str, Any] = {"num_threads": 1}
"""For every call of LightGBM: see `train.boosting`."""


@dataclass(frozen=True)
class Columns:
    """Features of a model, in order."""

    names: tuple[str, ...]
    linear: tuple[str, ...]
    """Those that are never missing, and that the log-linear baseline reads."""
    only_linear: tuple[str, ...] = ()
    """Those of them that the trees do not split on."""

    def of_baseline(self, matrix: Matrix) -> Matrix:
        """Return the baseline's columns of a matrix that has them all."""
        return matrix[:, [self.names.index(name) for name in self.linear]]

    def of(self, table: pa.Table) -> Matrix:
        """Return the features of a table's rows as a matrix, shape (n, len(names))."""
        matrix = np.empty((table.num_rows, len(self.names)), dtype=np.float32)
        for j, name in enumerate(self.names):
            matrix[:, j] = table[name].to_numpy()
        return matrix


@dataclass(frozen=True)
class Model:
    """Baseline, trees and calibration, which `CalibratedLogOdds` puts together.

    The trees are boosted from the baseline's log-odds: the baseline gives what grows smoothly, the trees add the rest.
    """

    columns: Columns
    baseline: LogLinear
    booster: lightgbm.Booster
    calibration: Calibration = UNCALIBRATED

    def log_odds(self, matrix: Matrix, *, rounds: int | None = None) -> Floats:
        """Return calibrated log-odds of rows, shape (n,), by all trees or by the first of them.

        The matrix has the model's features in order.
        """
        # -1 is all: without it LightGBM stops at the best iteration that it remembers
        trees = self.booster.predict(matrix, raw_score=True, num_iteration=rounds or -1, **ONE_THREAD)
        formula = CalibratedLogOdds(self.baseline, self.calibration)
        return formula.own_log_odds(np.asarray(trees), self.columns.of_baseline(matrix))

    def log_odds_by_rounds(self, matrix: Matrix, rounds: Sequence[int]) -> Floats:
        """Return uncalibrated log-odds after each number of trees, ascending, shape (n, len(rounds))."""
        result = np.empty((len(matrix), len(rounds)))
        log_odds, first = self.baseline.log_odds(self.columns.of_baseline(matrix)), 0
        for k, last in enumerate(rounds):
            # each tree is evaluated once, however many numbers of trees there are
            trees = self.booster.predict(
                matrix, raw_score=True, start_iteration=first, num_iteration=last - first, **ONE_THREAD
            )
            log_odds, first = log_odds + np.asarray(trees), last
            result[:, k] = log_odds
        return result

    def of_first(self, rounds: int) -> "Model":
        """Return the model of the first trees alone."""
        text = self.booster.model_to_string(num_iteration=rounds)
        return dataclasses.replace(self, booster=lightgbm.Booster(model_str=text))


@dataclass(frozen=True)
class Fit:
    """A fitted model and the rows that it learned from; each kind of model adds its own."""

    model: Model
    best_iteration: int
    """Number of trees."""
    rows: int
    """Training rows, before any was left out at random."""
    positives: int

    def common_fields(self, *, features_digest: str, marking: Marking) -> dict[str, Any]:
        """Return the fields that the records of all kinds of fit have, but for `params`.

        Parameters
        ----------
        features_digest
            ``sha256:<hex>`` of the file that `features` wrote.
        marking
            Of the rows, and so of the model.
        """
        model = self.model
        return {
            "features": list(model.columns.names),
            "baseline": model.baseline,
            "calibration": model.calibration,
            "best_iteration": self.best_iteration,
            "base_rate": self.positives / self.rows,
            "rows": self.rows,
            "positives": self.positives,
            "features_digest": features_digest,
            "marking": marking,
        }
