"""A way to fit and to predict -> calibrated log-odds of rows that no fit had seen, origin by origin.

The area model and every baseline go through this. So each has the same rows, the same choices and the same
calibration: only the skill differs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pipeline.model import calibration
from pipeline.model.cutoffs import Instants
from pipeline.model.log_odds import Calibration
from pipeline.runtime import workers
from pipeline.runtime.errors import StageError
from pipeline.runtime.progress import shown
from pipeline.validation.metrics import row_log_loss
from pipeline.validation.origins import Mask, Origin, calibration_rows

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]
Fitted = TypeVar("Fitted")

FitAndPredict: TypeAlias = Callable[[Origin], tuple[Floats, Fitted]]
"""Fits on an origin's training rows; returns log-odds of its block, (rows of the block, candidates), and the model.

Origins are fitted in threads side by side, so it must write nothing that another call reads.
"""


@dataclass(frozen=True)
class Choice:
    """The candidate and the calibration that the blocks before one origin give it."""

    origin: Origin
    candidate: int
    """Index of the candidate with the lowest log-loss on the calibration rows."""
    calibration: Calibration
    """Fitted to that candidate's log-odds of the calibration rows."""
    calibration_rows: Mask
    """Shape (n,)."""


@dataclass(frozen=True)
class Forecast(Generic[Fitted]):
    """Predictions made before the outcome was known, and the model that is shipped."""

    log_odds: Floats
    """Calibrated, shape (n,); NaN where no tested block is."""
    calibration_log_odds: Floats
    """Calibrated log-odds of the first tested origin's calibration rows; shape (n,), NaN elsewhere."""
    choices: list[Choice]
    """One for each tested origin, in order."""
    model: Fitted
    """Fitted at the last origin."""


def forecast(
    outcome: Mask,
    labels_until: Instants,
    origins: Sequence[Origin],
    fit_and_predict: FitAndPredict[Fitted],
    *,
    calibration_blocks: int,
    name: str = "rolling origins",
) -> Forecast[Fitted]:
    """Fit a model at each origin and predict its block; the blocks before it choose a candidate and calibrate it.

    Parameters
    ----------
    outcome
        Of all rows, shape (n,). An origin reads the outcomes of a block only where they were known at it.
    labels_until
        Of all rows, datetime64[us] of shape (n,), as `cutoffs.labels_until` returns it.
    origins
        At least one, as `rolling_origins` returns them, with `calibration_blocks` before the test.
    fit_and_predict
        Returns as many candidates at each origin.
    calibration_blocks
        Number of blocks before each tested origin that choose and calibrate.
    name
        Opens each line of progress.

    Raises
    ------
    StageError
        The calibration rows of an origin are of one class.
    """
    fits = shown(workers.map_in_order(fit_and_predict, origins), name, total=len(origins), unit="fit")
    predicted: dict[int, Floats] = {}
    log_odds, before = np.full(len(outcome), np.nan), np.full(len(outcome), np.nan)
    choices: list[Choice] = []
    for k, (origin, (prediction, fitted)) in enumerate(zip(origins, fits, strict=True)):
        predicted[k], model = prediction, fitted
        if not origin.tested:
            continue
        rows = calibration_rows(labels_until, origins, k, calibration_blocks=calibration_blocks)
        known = outcome[rows]
        if known.all() or not known.any():
            raise StageError(
                f"origin {origin.at}: {int(known.sum())} of the {len(known)} rows of the {calibration_blocks} blocks "
                "before it are positive; expected some, and not all. Do they hold events?"
            )
        earlier = range(k - calibration_blocks, k)
        pooled = np.concatenate([predicted[j][rows[origins[j].block]] for j in earlier])
        place = np.concatenate([np.flatnonzero(rows & origins[j].block) for j in earlier])
        best = int(np.argmin(_mean_log_loss(outcome[place], pooled)))
        line = calibration.fit(pooled[:, best], outcome[place])
        if not choices:
            before[place] = line.of(pooled[:, best])
        log_odds[origin.block] = line.of(prediction[:, best])
        choices.append(Choice(origin, best, line, rows))
    return Forecast(log_odds, before, choices, model)


def thinned(train: Mask, outcome: Mask, *, most_negatives: int, seed: int) -> tuple[Indices, Floats]:
    """Return the rows to learn from and how many rows each stands for, shape (k,) each.

    All rows that an event followed are kept. Of the others, at most so many are drawn at random. Where events are
    rare, the rest adds time and next to nothing else (King and Zeng, Political Analysis 2001).

    Parameters
    ----------
    train, outcome
        Whether a row may be learned from, and whether an event followed; shape (n,).
    most_negatives
        Rows without an event that are kept at most.
    seed
        Of the draw.

    Examples
    --------
    >>> outcome = np.array([True, False, False, False, False])
    >>> rows, count = thinned(np.ones(5, bool), outcome, most_negatives=2, seed=7)
    >>> len(rows), count.tolist()
    (3, [1.0, 2.0, 2.0])
    """
    negative = np.flatnonzero(train & ~outcome)
    kept = min(len(negative), most_negatives)
    drawn = np.random.default_rng(seed).choice(negative, kept, replace=False) if kept < len(negative) else negative
    rows = np.sort(np.concatenate([np.flatnonzero(train & outcome), drawn]))
    return rows, np.where(outcome[rows], 1.0, len(negative) / max(kept, 1))


def _mean_log_loss(outcome: Mask, log_odds: Floats) -> Floats:
    """Return the mean log-loss of each candidate, shape (candidates,)."""
    return np.asarray(row_log_loss(outcome[:, None], expit(log_odds)).mean(axis=0))
