"""Scores of cells, cutoff by cutoff -> how much of what happened lay in the cells that rank highest.

Hit rate: share of the events' cells caught. PAI, prediction accuracy index: hit rate over the share of area searched
(Chainey, Tompson and Uhlig, Security Journal 2008). PEI, prediction efficiency index: PAI over the highest PAI that
any choice of so many cells could have reached (Hunt, NIJ 2016).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from pipeline.validation.metrics import Floats, Mask, UndefinedMetricError
from pipeline.validation.origins import Instants


def hot_spot_skill(outcome: Mask, score: Floats, cutoffs: Instants, *, shares: list[float]) -> dict[str, float]:
    """Return hit rate, PAI and PEI when at each cutoff the same share of the cells is searched, highest scores first.

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
    >>> found = hot_spot_skill(outcome, score, np.zeros(4, "datetime64[us]"), shares=[0.25])
    >>> [round(value, 2) for value in found.values()]
    [0.5, 2.0, 1.0, 1.11]
    """
    events = int(outcome.sum())
    if not events:
        raise UndefinedMetricError(f"hot spots: no event in {len(outcome)} rows; expected some")
    order = np.argsort(cutoffs, kind="stable")
    starts = np.flatnonzero(np.diff(cutoffs[order], prepend=cutoffs[order][:1] - 1))
    blocks = np.split(order, starts[1:])
    found: dict[str, float] = {}
    for share in shares:
        searched = [max(1, round(len(block) * share)) for block in blocks]
        caught = sum(_expected_hits(outcome[b], score[b], n) for b, n in zip(blocks, searched, strict=True))
        possible = sum(min(int(outcome[b].sum()), n) for b, n in zip(blocks, searched, strict=True))
        expected = sum(np.partition(score[b], -n)[-n:].sum() for b, n in zip(blocks, searched, strict=True))
        area = sum(searched) / len(outcome)
        name = f"{100 * share:g}pct"
        found[f"hit_rate_{name}"] = caught / events
        found[f"pai_{name}"] = caught / events / area
        found[f"pei_{name}"] = caught / possible
        found[f"observed_over_expected_{name}"] = caught / float(expected)
    return found


def near_misses(
    outcome: Mask, score: Floats, cutoffs: Instants, rings: Sequence[sparse.csr_array[Any, Any]], *, shares: list[float]
) -> dict[str, float]:
    """Return the hit rates where an event so many steps from a searched cell counts as caught too.

    A position may be off by more than a cell, and a search takes in the ground around it.

    Parameters
    ----------
    outcome, score, cutoffs
        Shape (n,): at each cutoff every cell, in the order of the matrices.
    rings
        As `cells.ring_matrices` gives them: who stands k steps from whom. The first is not looked at.

    Returns
    -------
    dict
        ``hit_rate_1pct_within_1`` and so on: by share and by steps. Of equal scores the first cells are searched.
    """
    cells = rings[0].shape[0]
    happened, scored = outcome.reshape(-1, cells), score.reshape(-1, cells)
    found: dict[str, float] = {}
    for share in shares:
        first = np.argsort(-scored, axis=1, kind="stable")[:, : max(1, round(cells * share))]
        reached = np.zeros(happened.shape, dtype=np.bool_)
        np.put_along_axis(reached, first, True, axis=1)
        searched = reached.astype(np.float64).T
        for k, ring in enumerate(rings[1:], start=1):
            reached |= (ring @ searched).T > 0
            found[f"hit_rate_{100 * share:g}pct_within_{k}"] = float((happened & reached).sum() / happened.sum())
    return found


def gain_and_lift(outcome: Mask, score: Floats, cutoffs: Instants, *, shares: Floats) -> tuple[Floats, Floats]:
    """Return hit rate and PAI at each share of the cells, shape (len(shares),) each."""
    found = hot_spot_skill(outcome, score, cutoffs, shares=shares.tolist())
    hit_rate, pai = (
        np.array([found[f"{name}_{100 * share:g}pct"] for share in shares]) for name in ("hit_rate", "pai")
    )
    return hit_rate, pai


def _expected_hits(outcome: Mask, score: Floats, searched: int) -> float:
    """Return the hits among so many highest scores; where the edge falls among equal scores, they count in part."""
    edge = np.partition(score, -searched)[-searched]
    above, tied = score > edge, score == edge
    part = (searched - above.sum()) / tied.sum()
    return float(outcome[above].sum() + part * outcome[tied].sum())
