"""Losses of two models on the same rows -> an interval of their mean difference that respects what hangs together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.validation.metrics import Floats

COVERAGE = 0.95


@dataclass(frozen=True)
class Difference:
    """Mean difference, and the interval that holds it with probability `COVERAGE`."""

    value: float
    low: float
    high: float


def mean_difference(ours: Floats, theirs: Floats, blocks: npt.NDArray[Any], *, samples: int, seed: int) -> Difference:
    """Return the mean of ``ours - theirs`` with its percentile interval under a paired block bootstrap.

    Whole blocks (a cutoff, a soil) are drawn with replacement, so that rows that share a moment or a place stay
    together (Künsch, Annals of Statistics 1989; Efron and Tibshirani 1993, chapter 8).

    Parameters
    ----------
    ours, theirs
        Losses of the same rows, shape (n,).
    blocks
        Name of each row's block, shape (n,).
    """
    _, block = np.unique(blocks, return_inverse=True)
    total, rows = np.bincount(block, weights=ours - theirs), np.bincount(block)
    # how often each block was drawn says all about a sample
    drawn = np.random.default_rng(seed).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
    means = (drawn @ total) / (drawn @ rows)
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Difference(float(total.sum() / rows.sum()), float(low), float(high))
