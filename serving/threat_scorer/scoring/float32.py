"""Numbers -> float32, the type of every feature, or an error; and float32 -> the shortest decimal."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Float32Array: TypeAlias = npt.NDArray[np.float32]

LARGEST_FLOAT32 = float.fromhex("0x1.fffffep127")
LARGEST_INTEGER = 2**24
"""Up to here float32 holds every integer; above it, identifiers and epochs would run together."""


class FeatureError(ValueError):
    """A value that cannot be a feature; the message names the feature, the row, what was got and expected."""


def to_float32(name: str, values: npt.ArrayLike) -> Float32Array:
    """Cast one column to float32, the contract of every feature, or refuse it.

    Parameters
    ----------
    name
        The column's name, for the message.
    values
        One-dimensional: numbers, with NaN, None or a mask where the value is missing.

    Returns
    -------
    ndarray of float32, shape (n,)
        Finite, or NaN where missing.

    Raises
    ------
    FeatureError
        A value is a truth value, text or date; is infinite; is too large for float32; or is an integer above
        ``LARGEST_INTEGER``, which float32 would merge with its neighbours.

    Examples
    --------
    >>> to_float32("voltage", [0.5, None])
    array([0.5, nan], dtype=float32)
    """
    values = unmasked(values)
    # a list is read value by value: numpy would turn [True, 0.5] into numbers without a word
    column = np.asarray(values) if hasattr(values, "__array__") else _plain(name, values)
    if column.ndim != 1:
        raise FeatureError(f"{name}: got shape {column.shape}; expected one dimension")
    if column.dtype.kind == "O":
        column = _plain(name, column)
    if column.dtype.kind not in "iuf":
        raise FeatureError(f"{name}: got {column.dtype} values; expected numbers")
    if column.dtype.kind in "iu":
        _refuse(name, column, (column > LARGEST_INTEGER) | (column < -LARGEST_INTEGER), _TOO_LARGE_INTEGER)
    with np.errstate(over="ignore"):
        cast = column.astype(np.float32)
    _refuse(name, column, np.isinf(cast), "expected a finite number that float32 can hold")
    return cast


def unmasked(values: npt.ArrayLike) -> Any:
    """Return values without a mask: what numpy masks is None, as whatever lies under the mask was never measured.

    Examples
    --------
    >>> unmasked(np.ma.array([1.0, 2.0], mask=[True, False]))
    array([None, 2.0], dtype=object)
    """
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.is_masked(values):
            return values.data
        plain = values.data.astype(object)
        plain[np.ma.getmaskarray(values)] = None
        return plain
    if isinstance(values, list | tuple) and any(value is np.ma.masked for value in values):
        return [None if value is np.ma.masked else value for value in values]
    return values


def shortest(value: float) -> float:
    """Round a number to float32, and return the number with the fewest digits that float32 reads back as that.

    Examples
    --------
    >>> float(np.float32(0.1)), shortest(float(np.float32(0.1)))
    (0.10000000149011612, 0.1)
    """
    return float(np.format_float_positional(np.float32(value), unique=True))


_TOO_LARGE_INTEGER = f"expected integers within +-{LARGEST_INTEGER}, above which float32 merges neighbours"


def _plain(name: str, values: Any) -> npt.NDArray[np.float64]:
    """Python values -> float64; None is NaN, and a truth value among the numbers is seen."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise FeatureError(f"{name}: got {values!r}; expected a sequence of numbers")
    column = []
    for row, value in enumerate(values):
        if value is None:
            column.append(np.nan)
        elif isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise FeatureError(f"{name}: row {row} = {value!r}; expected a number, or None where missing")
        elif isinstance(value, int | np.integer) and abs(int(value)) > LARGEST_INTEGER:
            raise FeatureError(f"{name}: row {row} = {value!r}; {_TOO_LARGE_INTEGER}")
        else:
            column.append(float(value))
    return np.array(column, dtype=np.float64)


def _refuse(name: str, column: npt.NDArray[Any], bad: npt.NDArray[np.bool_], expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise FeatureError(f"{name}: row {row} = {column[row]}; {expected}")
