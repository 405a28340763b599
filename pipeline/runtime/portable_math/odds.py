"""Log-odds <-> probabilities."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.portable_math.exponential import exp
from pipeline.runtime.portable_math.logarithm import log


def expit(x: npt.ArrayLike) -> Any:
    """Return the probability whose log-odds are x.

    Examples
    --------
    >>> expit([-np.inf, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return 1.0 / (1.0 + exp(np.negative(x)))


def logit(probability: npt.ArrayLike) -> Any:
    """Return the log-odds of a probability, which lies between 0 and 1, both excluded."""
    p = np.asarray(probability, dtype=np.float64)
    return log(p / (1.0 - p))
