"""A function of a block of numbers -> the function of arrays of any shape, and the numbers outside of its domain."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

_BLOCK = 8192
"""Numbers at a time: the intermediate results of so many stay in the processor's own caches."""


def in_blocks(function: Callable[[Floats], Floats], x: npt.ArrayLike) -> Any:
    """Return the function of every number, as numpy's own would: a number for a number."""
    values = np.asarray(x, dtype=np.float64)
    flat = values.ravel()
    if flat.size <= _BLOCK:
        return function(flat).reshape(values.shape)[()]
    result = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        result[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
    return result.reshape(values.shape)


def ordinary_of(x: Floats, low: float, high: float, *, otherwise: float = 0.0) -> tuple[Floats, Any]:
    """Return x with all numbers outside of low to high replaced, and a mask of those inside.

    Parameters
    ----------
    x
        Of any shape.
    low, high
        The domain, both ends included.
    otherwise
        Stands for a number outside.

    Returns
    -------
    ordinary : ndarray
        Of the shape of x; x itself where every number is inside.
    inside : ndarray of bool or None
        None where every number is inside.
    """
    if not x.size or (x.min() >= low and x.max() <= high):
        return x, None
    inside = (x >= low) & (x <= high)
    return np.where(inside, x, otherwise), inside
