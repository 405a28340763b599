"""Rows and rolling origins -> what a planner could do without the area model, each with calibrated probabilities.

Every baseline goes through `rolling`, as the shipped model does: fitted anew at each origin on the same rows, chosen
and calibrated by the blocks before it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit

from pipeline.model import loglinear
from pipeline.model.log_odds import LogLinear
from pipeline.validation import rolling
from pipeline.validation.metrics import Floats, Mask
from pipeline.validation.origins import Instants, Origin

RUNNING_MEAN = "label_log1p_per_year_ring0"
HAWKES = "hawkes_log_events_per_day"
_RINGS = re.compile(r"label_log1p_decay\w+d_ring\d+")
_DENSITY = re.compile(r"density_log1p_decay")
# the level of the whole theatre is left out: a line would carry it on beyond what was seen
_HISTORY = re.compile(r"(label|explosion)_log1p_(?!.*_theatre$)")


def probabilities(
    table: pa.Table,
    outcome: Mask,
    labels_until: Instants,
    origins: Sequence[Origin],
    *,
    horizon_days: int,
    ridge: float,
    fitted: Mapping[str, Any],
) -> dict[str, Floats]:
    """Return each baseline's probabilities of the tested rows, by the baseline's name.

    Parameters
    ----------
    table
        Features of all rows.
    outcome, labels_until
        Of all rows, shape (n,); the second as `origins.labels_until` returns it.
    ridge
        Penalty of `logistic_regression`, as in `loglinear.fit`: its columns overlap.
    fitted
        How the shipped model and the baselines are fitted: ``calibration_blocks``, ``most_negatives``, ``seed``.

    Returns
    -------
    dict
        ``base_rate``: the share of positives until the origin. ``last_period``: the events of the last horizon.
        ``running_mean``: events a year since the first data. ``decayed_counts``: events in the cell, halved every so
        many days. ``decayed_rings``: the same and the rings of neighbours around the cell, each with its own weight.
        ``kernel_density``: events halved every so many days and smoothed over the cells around (Gaussian kernels, as
        Bowers, Johnson and Pease, British Journal of Criminology 2004). ``hawkes``: the self-exciting process (Mohler
        et al., Journal of the American Statistical Association 2011). ``logistic_regression``: all that is known of
        the history of the label and of explosions, and the process. Half-lives and spreads are chosen by the lowest
        log-loss before each origin.
    """
    rings = _by_half_life(table.column_names)
    candidates: dict[str, list[list[str]]] = {
        "last_period": [[f"label_log1p_last{horizon_days}d"]],
        "running_mean": [[RUNNING_MEAN]],
        "decayed_counts": [names[:1] for names in rings],
        "decayed_rings": rings,
        "kernel_density": [[name] for name in table.column_names if _DENSITY.match(name)],
        "hawkes": [[HAWKES]],
        "logistic_regression": [[name for name in table.column_names if _HISTORY.match(name)] + [HAWKES]],
    }
    tested = np.any([origin.block for origin in origins if origin.tested], axis=0)
    rate = np.full(len(outcome), np.nan)
    for origin in origins:
        rate[origin.block] = outcome[origin.train].mean()
    found = {"base_rate": rate[tested]}
    for name, choices in candidates.items():
        columns = [_columns(table, names) for names in choices]
        penalty = ridge if name == "logistic_regression" else 0.0

        def fit_and_predict(
            origin: Origin, columns: list[Floats] = columns, penalty: float = penalty
        ) -> tuple[Floats, list[LogLinear]]:
            rows, stands_for = rolling.thinned(
                origin.train, outcome, most_negatives=fitted["most_negatives"], seed=fitted["seed"]
            )
            lines = []
            for candidate in columns:
                names = [str(j) for j in range(candidate.shape[1])]
                lines.append(loglinear.fit(names, candidate[rows], outcome[rows], ridge=penalty, weights=stands_for))
            predicted = [line.log_odds(x[origin.block]) for line, x in zip(lines, columns, strict=True)]
            return np.column_stack(predicted), lines

        forecast = rolling.forecast(
            outcome,
            labels_until,
            origins,
            fit_and_predict,
            calibration_blocks=fitted["calibration_blocks"],
            name=name,
        )
        found[name] = np.asarray(expit(forecast.log_odds[tested]))
    return found


def _by_half_life(names: Sequence[str]) -> list[list[str]]:
    """Return the label's decayed counts, half-life by half-life: the cell's own first, then ring by ring."""
    found: dict[str, list[str]] = {}
    for name in names:
        if _RINGS.fullmatch(name):
            found.setdefault(name.rpartition("_ring")[0], []).append(name)
    return list(found.values())


def _columns(table: pa.Table, names: Sequence[str]) -> Floats:
    return np.column_stack([table[name].to_numpy() for name in names])
