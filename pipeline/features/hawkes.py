"""Label events as they became known -> the rate that their history foretells: a self-exciting point process.

In each cell, at each cutoff,

    rate = sum over spreads s and half-lives h of  weight[s, h] * past[s, h]

where past[s, h] is the daily rate of the known events, halved in weight every h days and smoothed over the cells around
by a Gaussian of spread s. The half-life without end is the background, which the past as a whole tells; the others are
what each event triggers, near it and soon after. This is a Hawkes process in space and time (Hawkes, Biometrika 1971;
Mohler et al., Journal of the American Statistical Association 2011) with a mixture of kernels, taken period by period
(Kirchner, Stochastic Processes and their Applications 2016). The delay of reports is in it: what is known counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pipeline.features.events import Events
from pipeline.features.history import LN_2, decayed_counts
from pipeline.features.labels import LabelEvents
from pipeline.runtime.portable_math import cross_product, expm1, solve, weighted_sum

Floats = npt.NDArray[np.float64]
YEAR_DAYS = 365.25

LEAST_SHARE = 1e-3
"""Events come at this share of the mean cell's rate even where nothing is known of any: its logarithm stays finite."""


@dataclass(frozen=True)
class Hawkes:
    """A fitted process."""

    weights: Floats
    """Of the pasts, in the order of `pasts`, shape (p,): none is negative."""
    least_per_day: float
    """What is added in every cell."""

    def rate(self, past: Floats) -> Floats:
        """Return events a day of each cell, from its pasts, shape (cells, p)."""
        return weighted_sum(past, self.weights) + self.least_per_day


def pasts(
    label: Events,
    cutoffs: Floats,
    *,
    since: float,
    half_lives_days: Sequence[float],
    spreads: Sequence[sparse.csr_array[Any, Any]],
) -> Iterator[Floats]:
    """Yield at each cutoff the daily rates of what is known, by cell, spread and half-life, the endless one last.

    Yields
    ------
    ndarray of float64, shape (cells, (1 + spreads) * (half-lives + 1))
        The cell's own first, then smoothed by each of the spreads.
    """
    half_life = np.asarray(half_lives_days, dtype=np.float64)
    states = decayed_counts(label, cutoffs, half_lives_days=[*half_lives_days, np.inf], cells=spreads[0].shape[0])
    age = np.maximum(cutoffs - since, 1.0)[:, None]
    # the days that the history since `since` gives weight to; in its first year the mean is taken over a whole one
    weighted = np.hstack([-expm1(-LN_2 * age / half_life) * half_life / LN_2, np.maximum(age, YEAR_DAYS)])
    for days, state in zip(weighted, states, strict=True):
        own = state / days
        yield np.hstack([own, *(spread @ own for spread in spreads)])


def fit(past: Iterator[Floats], cutoffs: Floats, happened: LabelEvents, *, ends: Floats, until: float) -> Hawkes:
    """Fit the weights to the events between one cutoff and the next, by maximum likelihood.

    The counts are Poisson with mean ``days * rate``; in weights that are not negative the likelihood is concave.
    Only the cells and cutoffs that an event followed need to be held, and the sum over all.

    Parameters
    ----------
    past
        As `pasts` yields them.
    cutoffs
        Days since 1970, ascending; those whose period ends by `until` are learned from.
    happened
        The events to be predicted.
    ends
        When the period of each cutoff ends, where the next one's begins.

    Returns
    -------
    Hawkes
        Where no event followed any of those cutoffs: one whose history foretells nothing.
    """
    exposed, cell_days = np.zeros(0), 0.0
    rows, seen = [], []
    for cutoff, end, matrix in zip(cutoffs, ends, past, strict=True):
        if end > until:
            break
        first, last = np.searchsorted(happened.occurred, [cutoff, end], side="left")
        cell, events = np.unique(happened.cell[first:last], return_counts=True)
        exposed = (end - cutoff) * matrix.sum(axis=0) + (exposed if len(exposed) else 0.0)
        cell_days += (end - cutoff) * len(matrix)
        rows.append(matrix[cell])
        seen.append(events)
    counts = np.concatenate([np.empty(0), *seen])
    least_per_day = LEAST_SHARE * max(counts.sum(), 1.0) / max(cell_days, 1.0)
    if not counts.sum():
        return Hawkes(np.zeros(len(exposed)), least_per_day)
    return Hawkes(_most_likely(exposed, np.concatenate(rows), counts, least_per_day), least_per_day)


def _most_likely(exposed: Floats, followed: Floats, counts: Floats, least: float) -> Floats:
    """Return the weights that maximise sum(counts * log(followed @ weights + least)) - exposed @ weights.

    By a primal-dual interior-point method (Wright, Primal-Dual Interior-Point Methods, 1997): Newton's steps towards
    weights and prices whose products are alike, and ever smaller; the price of a weight says what keeps it from being
    less than 0. All sums are taken in one order: a library's solver takes them in the processor's.
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
        # columns may be alike: without the ridge, rounding would say how they share their weight
        bend[np.diag_indices_from(bend)] += price / weights + _RIDGE
        step = solve(bend, aim - slope)
        price_step = aim - price - price / weights * step
        weights = weights + _inside(weights, step) * step
        price = price + _inside(price, price_step) * price_step
    return np.asarray(np.where((weights > price) & (exposed > 0), weights, 0.0) / scale * total)


def _inside(values: Floats, step: Floats) -> float:
    """Return how much of a step leaves values that are more than 0 so: at most all of it."""
    shrinking = step < 0
    return float(min(1.0, 0.995 * (values[shrinking] / -step[shrinking]).min(initial=np.inf)))


_MOST_STEPS, _NARROW, _RIDGE = 200, 1e-10, 1e-9
