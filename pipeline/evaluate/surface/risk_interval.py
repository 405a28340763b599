"""Predictions whose outcomes are known -> an interval of the risk that a log-odds stands for."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pipeline.model import loglinear
from pipeline.validation.bootstrap import COVERAGE
from pipeline.validation.metrics import Floats, Mask

METHOD = (
    "95 % block bootstrap, by cutoff, of the line from the model's log-odds to the outcomes known by then "
    "(the rows that calibrate and held-out cutoffs), widened where need be to take in the model's own probability"
)


def risk_interval(
    log_odds: Floats,
    *,
    known_log_odds: Floats,
    known_outcome: Mask,
    blocks: npt.NDArray[Any],
    samples: int,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return the lower and upper end of the risk at each log-odds, shape (n,) each.

    Whole blocks are drawn with replacement, and the calibration line is fitted to each sample. One Newton step from the
    fit to all rows is enough (Moulton and Zeger, Computational Statistics & Data Analysis 1991). A block's score and
    information are summed once for all samples. The interval shows how far the level and the spread of such
    predictions were off, from period to period. It always includes the model's own probability.

    Parameters
    ----------
    log_odds
        Of the cells in question, shape (n,).
    known_log_odds, known_outcome
        Predictions of rows that the model had not seen, and what happened, shape (m,); with both classes.
    blocks
        Name of each known row's block, shape (m,).
    samples, seed
        Number of draws, and their seed.
    """
    line = loglinear.fit(["log_odds"], known_log_odds[:, None], known_outcome)
    at = np.array([line.intercept, line.weights["log_odds"]])
    design = np.column_stack([np.ones(len(known_log_odds)), known_log_odds])
    fitted = expit(design @ at)
    _, block = np.unique(blocks, return_inverse=True)
    count = int(block.max()) + 1
    residual, weight = known_outcome - fitted, fitted * (1 - fitted)
    score = np.stack([np.bincount(block, residual * x, count) for x in design.T], axis=1)
    information = np.stack(
        [np.bincount(block, weight * design[:, i] * design[:, j], count) for i in (0, 1) for j in (0, 1)], axis=1
    )
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=samples).astype(np.float64)
    step = np.linalg.solve((drawn @ information).reshape(-1, 2, 2), (drawn @ score)[:, :, None])[:, :, 0]
    risks = expit((at + step) @ np.stack([np.ones(len(log_odds)), log_odds]))
    low, high = np.quantile(risks, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    predicted = expit(log_odds)
    return np.minimum(low, predicted), np.maximum(high, predicted)
