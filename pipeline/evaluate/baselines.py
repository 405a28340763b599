"""Rows and rolling origins -> what a planner could do without the area model, each with calibrated probabilities.

Every baseline goes through `rolling`, as the shipped model does. It is fitted anew at each origin on the same rows. The
blocks before the origin choose and calibrate it.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy.special import expit

from pipeline.model import loglinear
from pipeline.model.catalogue import Feature
from pipeline.model.cutoffs import Instants
from pipeline.model.log_odds import LogLinear
from pipeline.params.stages import AreaBoosting
from pipeline.validation import rolling
from pipeline.validation.metrics import Floats, Mask
from pipeline.validation.origins import Origin

# the level of the whole theatre is left out: a line would carry it on beyond what was seen
_HISTORY = ("decayed", "per_year", "last_period", "days_since_last")


def probabilities(
    table: pa.Table,
    outcome: Mask,
    labels_until: Instants,
    origins: Sequence[Origin],
    *,
    features: Sequence[Feature],
    ridge: float,
    fitted: AreaBoosting,
) -> dict[str, Floats]:
    """Return each baseline's probabilities of the tested rows, by the baseline's name.

    Parameters
    ----------
    table
        Features of all rows.
    outcome, labels_until
        Of all rows, shape (n,); the second as `cutoffs.labels_until` returns it.
    origins
        As `origins.rolling_origins` returns them.
    features
        What each of the table's features is.
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
    candidates = _candidates(features)
    tested = np.any([origin.block for origin in origins if origin.tested], axis=0)
    rate = np.full(len(outcome), np.nan)
    for origin in origins:
        rate[origin.block] = outcome[origin.train].mean()
    result = {"base_rate": rate[tested]}
    for name, choices in candidates.items():
        columns = [_columns(table, names) for names in choices]
        penalty = ridge if name == "logistic_regression" else 0.0

        def fit_and_predict(
            origin: Origin, columns: list[Floats] = columns, penalty: float = penalty
        ) -> tuple[Floats, list[LogLinear]]:
            """Fit each candidate before an origin, and predict the origin's block.

            Parameters
            ----------
            origin
                Separates the rows to learn from and the block.
            columns
                Of each candidate, shape (n, columns).
            penalty
                As `ridge`.

            Returns
            -------
            log_odds : ndarray, shape (rows of the block, candidates)
            lines : list
                The fitted candidates.
            """
            rows, stands_for = rolling.thinned(
                origin.train, outcome, most_negatives=fitted.most_negatives, seed=fitted.seed
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
            calibration_blocks=fitted.calibration_blocks,
            name=name,
        )
        result[name] = np.asarray(expit(forecast.log_odds[tested]))
    return result


def _candidates(features: Sequence[Feature]) -> dict[str, list[list[str]]]:
    """Return by baseline the lists of features, by name, of which the best before each origin is taken."""
    label = [feature for feature in features if feature.group == "label"]
    per_year = [feature.name for feature in label if feature.statistic == "per_year" and feature.ring == 0]
    rate = [feature.name for feature in features if feature.statistic == "rate"]
    rings: dict[float | None, list[str]] = {}
    for feature in label:
        if feature.statistic == "decayed":  # the cell's own first, then ring by ring
            rings.setdefault(feature.half_life_days, []).append(feature.name)
    history = [
        feature for feature in features if feature.group in ("label", "explosion") and feature.statistic in _HISTORY
    ]
    return {
        "last_period": [[feature.name for feature in label if feature.statistic == "last_period"]],
        "running_mean": [per_year],
        "decayed_counts": [names[:1] for names in rings.values()],
        "decayed_rings": list(rings.values()),
        "kernel_density": [[feature.name] for feature in features if feature.statistic == "density"],
        "hawkes": [rate],
        "logistic_regression": [[feature.name for feature in history] + rate],
    }


def _columns(table: pa.Table, names: Sequence[str]) -> Floats:
    return np.column_stack([table[name].to_numpy() for name in names])
