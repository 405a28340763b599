"""A float32 number -> the decimal with the fewest digits that float32 reads back as it."""

import numpy as np


def shortest(value: np.float32) -> float:
    """Return the number with the fewest digits that float32 reads back as `value`.

    Examples
    --------
    >>> shortest(np.float32(0.1)), float(np.float32(0.1))
    (0.1, 0.10000000149011612)
    """
    return float(np.format_float_positional(value, unique=True))
