"""Bounds and a seed -> candidates, the values now in params.yaml first, each fitted and scored like a model.

Candidates are drawn independently at random (Bergstra and Bengio, Journal of Machine Learning Research 2012). They are
known before the first is tried, so a search that was killed goes on where it stopped. More trials with the same seed
begin with the same candidates.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats
from scipy.special import expit
from sklearn.model_selection import ParameterSampler

from pipeline.model.fitted import Columns
from pipeline.params.datasets import AreaTask
from pipeline.params.stages import AreaBoosting, Bound
from pipeline.train import area_risk
from pipeline.validation.metrics import row_log_loss, skill
from pipeline.validation.origins import blocks
from pipeline.validation.rolling import Floats, Indices

DIGITS = 3
"""Of a value that is drawn: params.yaml is read by people."""


@dataclass(frozen=True)
class TrainingPeriod:
    """The rows on which a search fits and scores."""

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


@dataclass(frozen=True)
class Score:
    """Skill on the tuned period: each model predicted its rows before any was fitted to them."""

    log_loss: float
    """Mean over rows, nats."""
    pr_auc: float
    by_cutoff: Floats
    """Mean log-loss of each cutoff's rows, shape (t,): as many rows in each, one a cell."""
    blocks: Indices
    """Of the bootstrap, shape (t,): labels of cutoffs in one block overlap."""


def candidates(present: AreaBoosting, bounds: Mapping[str, Bound], *, trials: int, seed: int) -> list[AreaBoosting]:
    """Return the present values, and `trials` others.

    Parameters
    ----------
    present
        The values now in params.yaml.
    bounds
        By the name of a value, the ends between which it is drawn.
    trials
        How many others.
    seed
        Of the draw.

    Examples
    --------
    >>> present = AreaBoosting(
    ...     baseline_ridge=1.0, num_leaves=4, learning_rate=0.04, min_data_in_leaf=200, lambda_l2=10.0,
    ...     feature_fraction=0.4, seed=7, rounds=[50], calibration_blocks=4, most_negatives=200000)
    >>> drawn = candidates(present, {"num_leaves": Bound(2, 32, "log")}, trials=4, seed=7)
    >>> [candidate.num_leaves for candidate in drawn]
    [4, 2, 17, 6, 14]
    """
    is_integer = {name: isinstance(getattr(present, name), int) for name in bounds}
    spread = {name: _distribution(bound, integer=is_integer[name]) for name, bound in bounds.items()}
    result = [present]
    for drawn in ParameterSampler(spread, n_iter=trials, random_state=seed):
        values: dict[str, Any] = {
            name: _readable(value, bounds[name], integer=is_integer[name]) for name, value in drawn.items()
        }
        result.append(dataclasses.replace(present, **values))
    return result


def score(rows: TrainingPeriod, settings: AreaBoosting, *, bins: int) -> Score:
    """Fit at each origin of the tuned period, and score the predictions that were made before the outcome was known.

    Parameters
    ----------
    rows
        The only rows that the search may use.
    settings
        The candidate.
    bins
        Of the calibration error.
    """
    _, held_out, _ = area_risk.train(rows.table, rows.columns, rows.task, settings)
    outcome, probability = held_out["label"].to_numpy() == 1, expit(held_out["log_odds"].to_numpy())
    cutoffs, row = np.unique(held_out["cutoff"].to_numpy(), return_inverse=True)
    measured = skill(outcome, probability, bins=bins)
    by_cutoff = np.bincount(row, weights=row_log_loss(outcome, probability)) / np.bincount(row)
    return Score(measured.log_loss, measured.pr_auc, by_cutoff, blocks(cutoffs, horizon_days=rows.task.horizon_days))


def _distribution(bound: Bound, *, integer: bool) -> Any:
    # half a step more on each side, so that rounding gives the ends their share
    low, high = (bound.low - 0.5, bound.high + 0.5) if integer else (bound.low, bound.high)
    return stats.loguniform(low, high) if bound.scale == "log" else stats.uniform(low, high - low)


def _readable(value: float, bound: Bound, *, integer: bool) -> float:
    short = float(f"{round(value) if integer else value:.{DIGITS}g}")
    return min(max(short, bound.low), bound.high)
