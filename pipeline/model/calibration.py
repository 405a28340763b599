"""Log-odds of rows that a model had not seen, and their outcomes -> the `Calibration` of the model, a straight line.

The formula that applies it is in `log_odds`. The method is Platt's (1999).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.model import loglinear
from pipeline.model.log_odds import Calibration


def fit(log_odds: npt.NDArray[np.floating[Any]], outcome: npt.NDArray[np.bool_]) -> Calibration:
    """Return the line that fits log-odds to outcomes, each of shape (n,); the outcomes hold both classes."""
    line = loglinear.fit(["log_odds"], log_odds[:, None], outcome)
    return Calibration(line.weights["log_odds"], line.intercept)
