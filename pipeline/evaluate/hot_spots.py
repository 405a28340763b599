"""Scores of cells, cutoff by cutoff -> how much of what happened lay in the cells that rank highest.

Hit rate: share of the events' cells caught. PAI, prediction accuracy index: hit rate over the share of area searched
(Chainey, Tompson and Uhlig, Security Journal 2008). PEI, prediction efficiency index: PAI over the highest PAI that as
many cells could have reached (Hunt, NIJ 2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pipeline.model.cutoffs import Instants
from pipeline.validation.metrics import Floats, Mask, UndefinedMetricError


def hot_spot_skill(outcome: Mask, score: Floats, cutoffs: Instants, *, shares: list[float]) -> dict[str, float]:
    """Return hit rate, PAI and PEI where each cutoff's share of cells with the highest scores is searched.

    Parameters
    ----------
    outcome, score, cutoffs
        Shape (n,). Cells are taken to be of equal area.
    shares
        Shares of the cells; at least one cell is searched.

    Returns
    -------
    dict
        ``hit_rate_1pct``, ``pai_1pct``, ``pei_1pct`` and so on, over the events of all cutoffs together;
        ``observed_over_expected_1pct``: events there over the sum of the scores, which are probabilities.

    Raises
    ------
    UndefinedMetricError
        Nothing happened.

    Examples
    --------
    >>> outcome, score = np.array([True, False, True, False]), np.array([0.9, 0.1, 0.2, 0.3])
    >>> skill = hot_spot_skill(outcome, score, np.zeros(4, "datetime64[us]"), shares=[0.25])
    >>> [round(value, 2) for value in skill.values()]
    [0.5, 2.0, 1.0, 1.11]
    """
    events = int(outcome.sum())
    if not events:
        raise UndefinedMetricError(f"hot spots: no event in {len(outcome)} rows; expected some")
    ranked = _ranked(outcome, score, cutoffs)
    skill: dict[str, float] = {}
    for share in shares:
        searched = [max(1, round(len(cells.scores) * share)) for cells in ranked]
        caught, possible, expected = (
            sum(of(cells, n) for cells, n in zip(ranked, searched, strict=True))
            for of in (_Ranked.expected_hits, _Ranked.possible_hits, _Ranked.sum_of_scores)
        )
        area = sum(searched) / len(outcome)
        name = f"{100 * share:g}pct"
        skill[f"hit_rate_{name}"] = caught / events
        skill[f"pai_{name}"] = caught / events / area
        skill[f"pei_{name}"] = caught / possible
        skill[f"observed_over_expected_{name}"] = caught / expected
    return skill


def near_misses(
    outcome: Mask, score: Floats, rings: Sequence[sparse.csr_array[Any, Any]], *, shares: list[float]
) -> dict[str, float]:
    """Return the hit rates where an event so many steps from a searched cell counts as caught too.

    A position may be off by more than a cell, and a search takes in the ground around it.

    Parameters
    ----------
    outcome, score
        Shape (n,): cutoff by cutoff every cell, in the order of the matrices.
    rings
        As `cells.ring_matrices` gives them: which cells stand k steps from each. The first is not read.
    shares
        Of the cells, as of `hot_spot_skill`.

    Returns
    -------
    dict
        ``hit_rate_1pct_within_1`` and so on: by share and by steps. Of equal scores the first cells are searched.
    """
    cells = rings[0].shape[0]
    happened, scored = outcome.reshape(-1, cells), score.reshape(-1, cells)
    falling = np.argsort(-scored, axis=1, kind="stable")
    rates: dict[str, float] = {}
    for share in shares:
        reached = np.zeros(happened.shape, dtype=np.bool_)
        np.put_along_axis(reached, falling[:, : max(1, round(cells * share))], True, axis=1)
        searched = reached.astype(np.float64).T
        for k, ring in enumerate(rings[1:], start=1):
            reached |= (ring @ searched).T > 0
            rates[f"hit_rate_{100 * share:g}pct_within_{k}"] = float((happened & reached).sum() / happened.sum())
    return rates


def gain_and_lift(outcome: Mask, score: Floats, cutoffs: Instants, *, shares: Floats) -> tuple[Floats, Floats]:
    """Return hit rate and PAI at each share of the cells, shape (len(shares),) each.

    Parameters
    ----------
    outcome, score, cutoffs
        As of `hot_spot_skill`.
    shares
        Of the cells, ascending.
    """
    skill = hot_spot_skill(outcome, score, cutoffs, shares=shares.tolist())
    hit_rate, pai = (
        np.array([skill[f"{name}_{100 * share:g}pct"] for share in shares]) for name in ("hit_rate", "pai")
    )
    return hit_rate, pai


@dataclass(frozen=True)
class _Ranked:
    """Cells of one cutoff, the highest score first."""

    scores: Floats
    """Falling."""
    rising: Floats
    """The same, rising."""
    hits: npt.NDArray[np.int64]
    """Events among the first k cells, shape (cells + 1,)."""

    def expected_hits(self, searched: int) -> float:
        """Return the hits among the first cells; where the edge falls among equal scores, they count in part."""
        edge, cells = self.scores[searched - 1], len(self.scores)
        above = cells - int(np.searchsorted(self.rising, edge, side="right"))
        until = cells - int(np.searchsorted(self.rising, edge, side="left"))
        part = (searched - above) / (until - above)
        return float(self.hits[above] + part * (self.hits[until] - self.hits[above]))

    def possible_hits(self, searched: int) -> int:
        """Return the hits that the best choice of so many cells would have had."""
        return min(int(self.hits[-1]), searched)

    def sum_of_scores(self, searched: int) -> float:
        """Return the hits to expect among the first cells by their scores, which are probabilities."""
        return float(self.scores[:searched].sum())


def _ranked(outcome: Mask, score: Floats, cutoffs: Instants) -> list[_Ranked]:
    """Return the cells of each cutoff in the order of their scores: sorted once, for all shares."""
    order = np.lexsort((-score, cutoffs))
    starts = np.flatnonzero(np.diff(cutoffs[order], prepend=cutoffs[order][:1] - 1))
    return [
        _Ranked(score[rows], score[rows][::-1].copy(), np.append(0, np.cumsum(outcome[rows])))
        for rows in np.split(order, starts[1:])
    ]
