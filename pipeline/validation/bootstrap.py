"""Losses of two models on the same rows -> an interval of their mean difference, by a bootstrap of blocks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.model.skill_records import Estimate
from pipeline.validation.metrics import Floats

COVERAGE = 0.95
EDGES = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
"""Shares of the samples below the two ends of an interval."""


@dataclass(frozen=True)
class BlockDraws:
    """Whole blocks of rows (a cutoff, a soil), drawn with replacement once for all measures.

    Rows that share a moment or a place stay together. See Künsch (Annals of Statistics 1989), and Efron and Tibshirani
    (1993, chapter 8).
    """

    block: npt.NDArray[np.int64]
    """Number of each row's block, shape (n,)."""
    rows: Floats
    """Rows of each block, shape (blocks,)."""
    times: Floats
    """How often each sample drew each block, shape (samples, blocks): it defines the sample."""

    @classmethod
    def of(cls, blocks: npt.NDArray[Any], *, samples: int, seed: int) -> "BlockDraws":
        """Draw the samples.

        Parameters
        ----------
        blocks
            Name of each row's block, shape (n,).
        samples
            How many.
        seed
            Of the draws.
        """
        _, block = np.unique(blocks, return_inverse=True)
        rows = np.bincount(block)
        even = np.full(len(rows), 1 / len(rows))
        times = np.random.default_rng(seed).multinomial(len(rows), even, size=samples)
        return cls(block, rows.astype(np.float64), times.astype(np.float64))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.rows)

    def mean(self, values: Floats) -> Estimate:
        """Return the mean of the rows' values, shape (n,), with its percentile interval."""
        total = np.bincount(self.block, weights=values)
        low, high = np.quantile((self.times @ total) / (self.times @ self.rows), EDGES)
        return Estimate(value=float(total.sum() / self.rows.sum()), low=float(low), high=float(high))

    def mean_difference(self, ours: Floats, theirs: Floats) -> Estimate:
        """Return the mean of ``ours - theirs``, of the same rows, shape (n,) each, with its paired interval."""
        return self.mean(ours - theirs)


def mean_difference(ours: Floats, theirs: Floats, blocks: npt.NDArray[Any], *, samples: int, seed: int) -> Estimate:
    """Return the mean of ``ours - theirs`` with its percentile interval under a paired block bootstrap.

    Parameters
    ----------
    ours, theirs
        Losses of the same rows, shape (n,).
    blocks, samples, seed
        As of `BlockDraws.of`.
    """
    return BlockDraws.of(blocks, samples=samples, seed=seed).mean_difference(ours, theirs)
