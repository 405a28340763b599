"""Held-out rows and the shipped model's files -> what moves its log-odds, feature by feature, as points of plots."""

from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from pipeline.model import explain
from pipeline.model.fit_record import FitRecord
from pipeline.validation.metrics import Floats

ROWS = 1000
"""Drawn at random: enough for a mean size to about 3 %, and few enough for a picture."""
SHOWN = 12
"""Features of the swarm."""


def drawn(held_out: pa.Table, *, seed: int) -> pa.Table:
    """Return at most `ROWS` of the rows, in their order."""
    count = min(ROWS, held_out.num_rows)
    return held_out.take(np.sort(np.random.default_rng(seed).choice(held_out.num_rows, count, replace=False)))


def plots(rows: pa.Table, booster: lightgbm.Booster, fit: FitRecord) -> dict[str, pa.Table]:
    """Return the points of both plots, by the plot's name.

    Parameters
    ----------
    rows, booster, fit
        As of `explain.score`.

    Returns
    -------
    dict
        ``importance``, a line for each feature, the one that moves the rows most first: ``mean_size`` of what it adds
        to the log-odds over the mean row; ``direction``, the rank correlation of that with the feature's value (0
        where either is always the same); ``gain_share`` and ``splits`` of the trees. ``effects``, a line for each row
        and each of the first `SHOWN` features: ``value``, ``value_rank`` (0 to 1 among the rows; NaN where missing)
        and ``added_log_odds``.
    """
    names = fit.features
    added = explain.contributions(rows, booster, fit)
    ranks = np.column_stack([_ranks(rows[name].to_numpy()) for name in names])
    size = np.abs(added).mean(axis=0)
    gain = booster.feature_importance("gain")
    order = np.argsort(-size, kind="stable")
    importance = {
        "feature": [names[j] for j in order],
        "mean_size": size[order],
        "direction": np.array([_direction(ranks[:, j], added[:, j]) for j in order]),
        "gain_share": gain[order] / max(gain.sum(), np.finfo(float).tiny),
        "splits": booster.feature_importance("split")[order].astype(np.int64),
    }
    shown = [
        pa.table(
            {
                "feature": [names[j]] * rows.num_rows,
                "value": rows[names[j]].to_numpy(),
                "value_rank": ranks[:, j].round(4),
                "added_log_odds": added[:, j].round(6),
            }
        )
        for j in order[:SHOWN]
    ]
    return {"effects": pa.concat_tables(shown), "importance": pa.table(importance)}


def _ranks(values: Any) -> Floats:
    """Return each value's rank among those that are present, 0 to 1; equal values share the middle of theirs."""
    ranks = np.full(len(values), np.nan)
    present = ~np.isnan(values)
    if present.any():
        ranks[present] = (rankdata(values[present]) - 0.5) / present.sum()
    return ranks


def _direction(ranks: Floats, added: Floats) -> float:
    present = ~np.isnan(ranks)
    a, b = ranks[present], rankdata(added[present])
    return float(np.corrcoef(a, b)[0, 1]) if present.any() and np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
