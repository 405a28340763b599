"""Numbers -> their natural logarithms, by a series about 1 and the exponent of two.

Methods and coefficients are those of fdlibm (Sun Microsystems 1993), files e_log.c and s_log1p.c: within 1 ulp.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.portable_math.blocks import Floats, in_blocks, ordinary_of

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts: the first has 21 low bits free, so that a whole multiple of it is exact."""
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_ONE, _ROOT_HALF = np.int64(0x3FF0000000000000), np.int64(0x3FE6A09E00000000)
_MANTISSA = np.int64((1 << 52) - 1)
_SMALLEST_NORMAL, _LARGEST = 2.2250738585072014e-308, 1.7976931348623157e308
_OVER_MINUS_ONE = -0.9999999999999999


def log(x: npt.ArrayLike) -> Any:
    """Return the natural logarithm (fdlibm e_log.c).

    Examples
    --------
    >>> log([1.0, np.e, 0.0]).tolist()
    [0.0, 1.0, -inf]
    """
    return in_blocks(_log, x)


def log1p(x: npt.ArrayLike) -> Any:
    """Return log(1 + x), as exact where x is small (fdlibm s_log1p.c)."""
    return in_blocks(_log1p, x)


def logit(probability: npt.ArrayLike) -> Any:
    """Return the log-odds of a probability, which lies between 0 and 1, both excluded."""
    p = np.asarray(probability, dtype=np.float64)
    return log(p / (1.0 - p))


def _log(x: Floats) -> Floats:
    ordinary, inside = ordinary_of(x, _SMALLEST_NORMAL, _LARGEST, otherwise=1.0)
    mantissa, k = _parts(ordinary)
    result = _log_reduced(mantissa - 1.0, k, 0.0)
    if inside is None:
        return result
    result = np.where(inside, result, np.where(x == 0, -np.inf, np.where(x == np.inf, np.inf, np.nan)))
    tiny = (x > 0) & (x < _SMALLEST_NORMAL)
    if tiny.any():
        mantissa, k = _parts(x[tiny] * float(1 << 54))
        result[tiny] = _log_reduced(mantissa - 1.0, k - 54.0, 0.0)
    return result


def _log1p(x: Floats) -> Floats:
    ordinary, inside = ordinary_of(x, _OVER_MINUS_ONE, _LARGEST)
    u = 1.0 + ordinary
    mantissa, k = _parts(u)
    # what the sum lost (Knuth's TwoSum) is the derivative's part of the logarithm
    added = u - 1.0
    lost = (1.0 - (u - added)) + (ordinary - added)
    result = _log_reduced(mantissa - 1.0, k, lost / u)
    if inside is None:
        return result
    result = np.where(inside, result, np.where(x == -1, -np.inf, np.where(x == np.inf, np.inf, np.nan)))
    return result


def _log_reduced(f: Floats, k: Floats, lost: Any) -> Floats:
    """Return log(1 + f) + k * ln 2 + lost."""
    half_square = 0.5 * (f * f)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (_LOG[1] + w * (_LOG[3] + w * _LOG[5]))
    even = z * (_LOG[0] + w * (_LOG[2] + w * (_LOG[4] + w * _LOG[6])))
    result: Floats = (((s * (half_square + (even + odd)) + (k * _LN2_LOW + lost)) - half_square) + f) + k * _LN2_HIGH
    return result


def _parts(x: Floats) -> tuple[Floats, Floats]:
    """Return m and k with x = m * 2^k, m between the roots of 1/2 and 2."""
    bits = np.ascontiguousarray(x).view(np.int64) + (_ONE - _ROOT_HALF)
    k = (bits >> 52) - 1023
    return ((bits & _MANTISSA) + _ROOT_HALF).view(np.float64), k.astype(np.float64)
