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
from scipy.optimize import Bounds, minimize

from pipeline.features.events import Events
from pipeline.features.history import decayed_counts
from pipeline.features.labels import LabelEvents

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
        return np.asarray(past @ self.weights + self.least_per_day)


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
    for cutoff, state in zip(cutoffs, states, strict=True):
        age = max(cutoff - since, 1.0)
        # the days that the history since `since` gives weight to; in its first year the mean is taken over a whole one
        days = np.append(-np.expm1(-np.log(2) * age / half_life) * half_life / np.log(2), max(age, YEAR_DAYS))
        own = state / days
        yield np.hstack([own, *(spread @ own for spread in spreads)])


def fit(past: Iterator[Floats], cutoffs: Floats, happened: LabelEvents, *, every_days: float, until: float) -> Hawkes:
    """Fit the weights to the events between one cutoff and the next, by maximum likelihood.

    The counts are Poisson with mean ``every_days * rate``; in weights that are not negative the likelihood is concave.
    Only the cells and cutoffs that an event followed need to be held, and the sum over all.

    Parameters
    ----------
    past
        As `pasts` yields them.
    cutoffs
        Days since 1970, ascending; those whose period ends by `until` are learned from.
    happened
        The events to be predicted.

    Returns
    -------
    Hawkes
        Where no event followed any of those cutoffs: one whose history foretells nothing.
    """
    exposed, cell_days = np.zeros(0), 0.0
    rows, seen = [], []
    for cutoff, matrix in zip(cutoffs, past, strict=True):
        if cutoff + every_days > until:
            break
        first, last = np.searchsorted(happened.occurred, [cutoff, cutoff + every_days], side="right")
        cell, events = np.unique(happened.cell[first:last], return_counts=True)
        exposed = every_days * matrix.sum(axis=0) + (exposed if len(exposed) else 0.0)
        cell_days += every_days * len(matrix)
        rows.append(matrix[cell])
        seen.append(events)
    counts = np.concatenate([np.empty(0), *seen])
    least_per_day = LEAST_SHARE * max(counts.sum(), 1.0) / max(cell_days, 1.0)
    if not counts.sum():
        return Hawkes(np.zeros(len(exposed)), least_per_day)
    return Hawkes(_most_likely(exposed, np.concatenate(rows), counts, least_per_day), least_per_day)


def _most_likely(exposed: Floats, followed: Floats, counts: Floats, least: float) -> Floats:
    """Return the weights that maximise sum(counts * log(followed @ weights + least)) - exposed @ weights."""
    scale = np.where(exposed > 0, exposed, 1.0) / counts.sum()  # in units in which each weight alone would be 1
    x, mass = followed / scale, exposed / scale

    def loss(weights: Floats) -> float:
        return float(mass @ weights - counts @ np.log(x @ weights + least))

    def slope(weights: Floats) -> Floats:
        return np.asarray(mass - x.T @ (counts / (x @ weights + least)))

    found = minimize(
        loss,
        np.full(len(exposed), 1 / len(exposed)),
        jac=slope,
        method="L-BFGS-B",
        bounds=Bounds(lb=np.zeros(len(exposed))),
        options={"maxiter": 2000, "maxfun": 5000, "ftol": 1e-12},
    )
    return np.asarray(found.x / scale)
