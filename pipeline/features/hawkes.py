"""Label events as they became known -> the rate that their history predicts: a self-exciting point process.

At each cell and cutoff,

    rate = sum over spreads s and half-lives h of  weight[s, h] * past[s, h].

past[s, h] is the daily rate of the known events. Their weight halves every h days. A Gaussian of spread s smooths it
over the cells around. The half-life without end is the background, which comes from the whole past. The others are what
each event triggers, near it and soon after. This is a Hawkes process in space and time (Hawkes, Biometrika 1971; Mohler
et al., JASA 2011). It has a mixture of kernels, taken period by period (Kirchner, Stochastic Processes and their
Applications 2016). The delay of reports is included: what is known counts.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass
from scipy import sparse

from pipeline.features.events import LabelEvents
from pipeline.features.history import LN_2
from pipeline.runtime.portable_math import cross_product, expm1, solve, weighted_sum
from pipeline.storage.records import RECORD

Floats = npt.NDArray[np.float64]
YEAR_DAYS = 365.25

LEAST_SHARE = 1e-3
"""Least rate of a cell, as a share of the mean cell's, also without known events: its logarithm stays finite."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Kernel:
    """How much one past adds to the rate."""

    spread_cells: float | None
    """Standard deviation of the smoothing Gaussian, in distances between neighbouring cells; None: the cell alone."""
    half_life_days: float | None
    """None: no end, the background."""
    weight: float
    """Of the past's daily rate; none is negative."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Process:
    """A fitted process: what features writes as process.json."""

    kernels: tuple[Kernel, ...]
    """In the order of `Pasts.columns`."""
    least_per_day: float
    """Events a day that are added in every cell."""

    @property
    def weights(self) -> Floats:
        """The kernels' weights, shape (kernels,)."""
        return np.array([kernel.weight for kernel in self.kernels], dtype=np.float64)

    def rates(self, pasts: "Pasts", counts: Iterable[Floats], cutoffs: Floats) -> Iterator[Floats]:
        """Yield at each cutoff the events a day of each cell, shape (cells,).

        Parameters
        ----------
        pasts
            With the half-lives and spreads that the process was fitted with.
        counts, cutoffs
            As for `Pasts.at`.
        """
        used = self.weights > 0  # a past of no weight adds exactly nothing: it need not be computed
        for past in pasts.at(counts, cutoffs, used=used):
            yield weighted_sum(past, self.weights[used]) + self.least_per_day


@dataclasses.dataclass(frozen=True)
class Pasts:
    """How the known events become daily rates: the process's explanatory columns."""

    half_lives_days: tuple[float, ...]
    """Without the endless one, which stands after them."""
    spreads: Mapping[float, sparse.csr_array[Any, Any]]
    """Smoothing matrices, shape (cells, cells), by their standard deviation in cells; the cell alone stands before."""
    since: float
    """Start of the history, days since 1970."""

    @property
    def columns(self) -> list[tuple[float | None, float | None]]:
        """Spread and half-life of each column: spreads outside, half-lives inside."""
        return [(spread, days) for spread in (None, *self.spreads) for days in (*self.half_lives_days, None)]

    def at(self, counts: Iterable[Floats], cutoffs: Floats, *, used: npt.NDArray[np.bool_]) -> Iterator[Floats]:
        """Yield at each cutoff the daily rates of the events that are known.

        Parameters
        ----------
        counts
            At each cutoff the label's decayed counts, the endless one last, shape (cells, half-lives + 1).
        cutoffs
            Days since 1970, ascending, shape (t,).
        used
            The columns that are wanted, shape (columns,).

        Yields
        ------
        ndarray of float64, shape (cells, wanted columns)
        """
        half_life = np.asarray(self.half_lives_days, dtype=np.float64)
        age = np.maximum(cutoffs - self.since, 1.0)[:, None]
        # the days that the history gives weight to; in its first year the mean is taken over a whole one
        counted_days = np.hstack([-expm1(-LN_2 * age / half_life) * half_life / LN_2, np.maximum(age, YEAR_DAYS)])
        by_spread = used.reshape(1 + len(self.spreads), len(half_life) + 1)
        for days, count in zip(counted_days, counts, strict=True):
            in_cell = count / days
            blocks = [in_cell[:, by_spread[0]]]
            blocks += [
                matrix @ in_cell[:, wanted]
                for matrix, wanted in zip(self.spreads.values(), by_spread[1:], strict=True)
                if wanted.any()
            ]
            yield np.hstack(blocks)


def fit(
    pasts: Pasts, counts: Iterable[Floats], cutoffs: Floats, events: LabelEvents, *, ends: Floats, until: float
) -> Process:
    """Fit the weights to the events between one cutoff and the next, by maximum likelihood.

    The counts are Poisson with mean ``days * rate``; in weights that are not negative the likelihood is concave.
    Only the cells and cutoffs that an event followed are kept in memory, and the sum over all.

    Parameters
    ----------
    pasts
        The columns whose weights are fitted.
    counts
        As for `Pasts.at`.
    cutoffs
        Days since 1970, ascending, shape (t,); those whose period ends by `until` are learned from.
    events
        The events to be predicted.
    ends
        When the period of each cutoff ends, where the next one's begins, shape (t,).
    until
        End of the last period that the process is fitted on.

    Returns
    -------
    Process
        Where no event followed any of those cutoffs: one whose history predicts nothing.
    """
    columns = pasts.columns
    exposed, cell_days = np.zeros(len(columns)), 0.0
    rows, followed = [], []
    matrices = pasts.at(counts, cutoffs, used=np.ones(len(columns), dtype=np.bool_))
    for cutoff, end in zip(cutoffs, ends, strict=True):
        if end > until:
            break
        matrix = next(matrices)
        first, last = np.searchsorted(events.occurred, [cutoff, end], side="left")
        cell, count = np.unique(events.cell[first:last], return_counts=True)
        exposed = exposed + (end - cutoff) * matrix.sum(axis=0)
        cell_days += (end - cutoff) * len(matrix)
        rows.append(matrix[cell])
        followed.append(count)
    total = np.concatenate([np.empty(0), *followed])
    least_per_day = float(LEAST_SHARE * max(total.sum(), 1.0) / max(cell_days, 1.0))
    weights = np.zeros(len(columns))
    if total.sum():
        weights = _most_likely(exposed, np.concatenate(rows), total, least_per_day)
    kernels = tuple(
        Kernel(spread_cells=spread, half_life_days=half_life, weight=weight)
        for (spread, half_life), weight in zip(columns, weights.tolist(), strict=True)
    )
    return Process(kernels=kernels, least_per_day=least_per_day)


def _most_likely(exposed: Floats, followed: Floats, counts: Floats, least: float) -> Floats:
    """Return the weights that maximise sum(counts * log(followed @ weights + least)) - exposed @ weights.

    The method is primal-dual interior-point (Wright, Primal-Dual Interior-Point Methods, 1997). Newton's steps lead to
    weights and prices whose products are alike, and ever smaller. A weight's price is its multiplier for weight >= 0.
    All sums are taken in one order: in a library's solver the order depends on the processor.
    """
    total = counts.sum()
    scale = np.where(exposed > 0, exposed, 1.0)  # in units in which each weight alone would be 1
    x, mass, share = np.ascontiguousarray((followed / scale * total).T).T, exposed / scale, counts / total
    weights, price = np.full(len(exposed), 1 / len(exposed)), np.ones(len(exposed))
    for _ in range(_MOST_STEPS):
        rate = weighted_sum(x, weights) + least
        slope = mass - (x.T * (share / rate)).sum(axis=1)
        gap = float((weights * price).mean())
        if gap < _NARROW and np.abs(slope - price).max() < _NARROW:
            break
        aim = gap / 10 / weights
        bend = cross_product(x, share / np.square(rate))
        # columns may be alike: without the ridge, rounding would decide how they share their weight
        bend[np.diag_indices_from(bend)] += price / weights + _RIDGE
        step = solve(bend, aim - slope)
        price_step = aim - price - price / weights * step
        weights = weights + _inside(weights, step) * step
        price = price + _inside(price, price_step) * price_step
    return np.asarray(np.where((weights > price) & (exposed > 0), weights, 0.0) / scale * total)


def _inside(values: Floats, step: Floats) -> float:
    """Return the largest share of a step that keeps positive values positive: at most 1."""
    shrinking = step < 0
    return float(min(1.0, 0.995 * (values[shrinking] / -step[shrinking]).min(initial=np.inf)))


_MOST_STEPS, _NARROW, _RIDGE = 200, 1e-10, 1e-9
