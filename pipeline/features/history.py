"""Events as they became known -> what each cell's history amounts to at each cutoff; one pass, whatever its length."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.features.events import EventVersions
from pipeline.runtime import portable_math

Floats = npt.NDArray[np.float64]
LN_2 = 0.6931471805599453
"""Natural logarithm of 2."""

_ROUNDING = 1e-12
"""More than a sum that is carried through thousands of cutoffs loses, as a share of it."""


def decayed_counts(
    events: EventVersions, cutoffs: Floats, *, half_lives_days: Sequence[float], cells: int
) -> Iterator[Floats]:
    """Yield at each cutoff the sum over known events of weight * 2^(-age / half-life).

    The sums are carried from cutoff to cutoff. Each event is touched when its version becomes known, and when it is
    superseded. Memory contains one cutoff, however long the history is.

    Parameters
    ----------
    events
        Versions known at t while ``known_from <= t < known_until``; age is the cutoff less ``occurred``.
    cutoffs
        Days since 1970, ascending, shape (t,).
    half_lives_days
        Infinite for plain counts.
    cells
        Number of cells.

    Yields
    ------
    ndarray of float64, shape (cells, half-lives * channels)
        Half-lives outside, channels inside. Reused at the next cutoff: copy what is to be kept.
    """
    half_life = np.repeat(np.asarray(half_lives_days, dtype=np.float64), len(events.channels))
    state = np.zeros((cells, len(half_life)))
    opened, closed = _Arrivals(events, events.known_from), _Arrivals(events, events.known_until)
    fading = portable_math.halved(np.diff(cutoffs, prepend=cutoffs[:1])[:, None] / half_life)
    for cutoff, share in zip(cutoffs, fading, strict=True):
        state *= share
        for arrivals, sign in ((opened, 1.0), (closed, -1.0)):
            arrived = arrivals.until(cutoff)
            if len(arrived):
                age = (cutoff - events.occurred[arrived])[:, None]
                weights = np.tile(events.weights[arrived], len(half_lives_days)) * portable_math.halved(age / half_life)
                # of the cells that are touched alone: often they are few
                touched, sums = _summed(events.cell[arrived], weights)
                remaining = state[touched] + sign * sums
                # taking a superseded version out again leaves rounding, of either sign, where nothing is left
                state[touched] = np.where(remaining > _ROUNDING * sums, remaining, 0.0)
        yield state


def share_of_endless(cutoffs: Floats, *, since: float, half_lives_days: Floats) -> Floats:
    """Return the decayed count of the history so far, as a share of an endless steady history's count.

    Without it a long half-life would fill up for years after the first data. Old and new cutoffs would differ.

    Parameters
    ----------
    cutoffs
        Days since 1970, shape (t,).
    since
        Start of the history, days since 1970.
    half_lives_days
        Shape (h,).

    Returns
    -------
    ndarray of float64, shape (t, h)
    """
    age = np.maximum(cutoffs - since, 1.0)[:, None]
    return np.asarray(-portable_math.expm1(-LN_2 * age / half_lives_days))


def days_since_last(events: EventVersions, cutoffs: Floats, *, since: float, cells: int) -> Iterator[Floats]:
    """Yield at each cutoff the days since the last known event of each cell, shape (cells,).

    Parameters
    ----------
    events
        As for `decayed_counts`.
    cutoffs
        Days since 1970, ascending, shape (t,).
    since
        Start of the history: where no event is known, the days since then are given.
    cells
        Number of cells.
    """
    last = np.full(cells, since)
    opened, closed = _Arrivals(events, events.known_from), _Arrivals(events, events.known_until)
    for cutoff in cutoffs:
        new = opened.until(cutoff)
        np.maximum.at(last, events.cell[new], events.occurred[new])
        gone = np.unique(events.cell[closed.until(cutoff)])
        if len(gone):
            # a maximum cannot be taken back: look again at the cells that lost a version
            known = (events.known_from <= cutoff) & (cutoff < events.known_until) & np.isin(events.cell, gone)
            last[gone] = since
            np.maximum.at(last, events.cell[known], events.occurred[known])
        yield cutoff - last


def recent_counts(events: EventVersions, cutoffs: Floats, *, starts: Floats, cells: int) -> Iterator[Floats]:
    """Yield at each cutoff the number of known events of each cell since the start of its window, shape (cells,).

    Parameters
    ----------
    events
        As for `decayed_counts`.
    cutoffs, starts
        End and start of each window, both in it, days since 1970, shape (t,).
    cells
        Number of cells.
    """
    order = np.argsort(events.occurred, kind="stable")
    occurred = events.occurred[order]
    first, last = np.searchsorted(occurred, starts, side="left"), np.searchsorted(occurred, cutoffs, side="right")
    for cutoff, window in zip(cutoffs, map(slice, first, last), strict=True):
        inside = order[window]
        known = inside[(events.known_from[inside] <= cutoff) & (cutoff < events.known_until[inside])]
        yield np.bincount(events.cell[known], minlength=cells).astype(np.float64)


class _Arrivals:
    """Indices of events in the order of one clock, handed out up to each next cutoff."""

    def __init__(self, events: EventVersions, clock: Floats) -> None:
        # a version that was never known, because it was replaced before or as it came, opens and closes at once
        when = np.maximum(clock, events.known_from)
        self._order = np.argsort(when, kind="stable")
        self._when = when[self._order]
        self._next = 0

    def until(self, cutoff: float) -> npt.NDArray[np.int64]:
        end = int(np.searchsorted(self._when, cutoff, side="right"))
        arrived = self._order[self._next : end]
        self._next = end
        return arrived


def _summed(cell: npt.NDArray[np.int64], weights: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the events' cells, each once, and the sums of their events' weights; n is at least 1."""
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return ordered[first], np.add.reduceat(weights[order], first, axis=0)
