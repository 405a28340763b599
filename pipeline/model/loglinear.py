"""Columns and outcomes -> `LogLinear`, a logistic model with plain weights."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from pipeline.model.log_odds import LogLinear

Floats: TypeAlias = npt.NDArray[np.floating[Any]]


def fit(
    names: Sequence[str],
    columns: Floats,
    outcome: npt.NDArray[np.bool_],
    *,
    ridge: float = 0.0,
    weights: Floats | None = None,
) -> LogLinear:
    """Fit a logistic regression on standardised columns, and express it on the columns as they are.

    Parameters
    ----------
    names
        Of the columns, in order.
    columns
        Shape (n, len(names)), finite. A constant column gets weight 0.
    outcome
        Shape (n,); contains both classes.
    ridge
        Strength of the L2 penalty on the standardised weights, on the scale of the summed log-loss; 0 for none.
    weights
        How much each row counts in the log-loss, shape (n,); all alike where not given.

    Returns
    -------
    LogLinear
        Weights and intercept rounded to float32.
    """
    x = columns.astype(np.float64)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    varies = spread > 1e-12 * (1.0 + np.abs(mean))
    spread = np.where(varies, spread, 1.0)
    x -= mean
    x /= spread
    # many rows, few columns: Newton's steps need one small matrix each, and few of them
    model = LogisticRegression(C=1.0 / ridge if ridge else np.inf, solver="newton-cholesky", tol=1e-6)
    model.fit(x, outcome, sample_weight=weights)
    slopes = np.where(varies, model.coef_[0] / spread, 0.0).astype(np.float32)
    intercept = np.float32(model.intercept_[0] - slopes.astype(np.float64) @ mean)
    return LogLinear(float(intercept), {name: float(slope) for name, slope in zip(names, slopes, strict=True)})
