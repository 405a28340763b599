"""Numbers -> their exponentials, by a rational function about 0 and a power of two.

Methods and coefficients are those of fdlibm (Sun Microsystems 1993), files e_exp.c and s_expm1.c: within 1 ulp.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.portable_math.blocks import Floats, in_blocks, ordinary_of

# ln 2 in two parts: the first has 21 low bits free, so that a whole multiple of it is exact
_LN2_HIGH, _LN2_LOW, _PER_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.44269504088896338700
_LN2, _LN2_TOP, _LN2_REST = 6.93147180559945286227e-01, 6.93147182464599609375e-01, -1.90465429995776804525e-09
_EXP = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_EXP_OVERFLOWS, _EXP_VANISHES = 709.782712893383973096, -745.13321910194110842
_EXPM1 = (
    -3.33333333333331316428e-02,
    1.58730158725481460165e-03,
    -7.93650757867487942473e-05,
    4.00821782732936239552e-06,
    -2.01099218183624371326e-07,
)


def exp(x: npt.ArrayLike) -> Any:
    """Return e to the power of x (fdlibm e_exp.c).

    Examples
    --------
    >>> round(float(exp(1.0)), 12)
    2.718281828459
    """
    return in_blocks(_exp, x)


def halved(times: npt.ArrayLike) -> Any:
    """Return 2 to the power of -`times`: what is left of 1 that was halved so many times.

    Examples
    --------
    >>> halved([0.0, 1.0, 10.0, np.inf]).tolist()
    [1.0, 0.5, 0.0009765625, 0.0]
    """
    return in_blocks(_halved, times)


def expm1(x: npt.ArrayLike) -> Any:
    """Return exp(x) - 1, as exact where x is small (fdlibm s_expm1.c)."""
    return in_blocks(_expm1, x)


def expit(x: npt.ArrayLike) -> Any:
    """Return the probability whose log-odds are x.

    Examples
    --------
    >>> expit([-np.inf, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return 1.0 / (1.0 + exp(np.negative(x)))


def _exp(x: Floats) -> Floats:
    ordinary, inside = ordinary_of(x, _EXP_VANISHES, _EXP_OVERFLOWS)
    k = np.rint(ordinary * _PER_LN2)
    result = _scaled(_exp_reduced(ordinary - k * _LN2_HIGH, k * _LN2_LOW), k)
    return result if inside is None else np.where(inside, result, _beyond_exp(x))


def _halved(times: Floats) -> Floats:
    power = -times
    ordinary, inside = ordinary_of(power, -1075.0, 1023.9999999999999)
    k = np.rint(ordinary)
    part = ordinary - k
    # the product with ln 2 in two parts: of the first, 27 bits of each factor, which is exact
    top = _top_bits(part)
    low = (part - top) * _LN2 + top * _LN2_REST
    result = _scaled(_exp_reduced(top * _LN2_TOP, -low), k)
    return result if inside is None else np.where(inside, result, _beyond_exp(power))


def _expm1(x: Floats) -> Floats:
    ordinary, inside = ordinary_of(x, -60.0, 709.0)
    k = np.rint(ordinary * _PER_LN2)
    k = np.where(np.abs(ordinary) < 0.5 * _LN2, 0.0, k)
    high, low = ordinary - k * _LN2_HIGH, k * _LN2_LOW
    r = high - low
    c = (high - r) - low
    half = 0.5 * r
    square = r * half
    q = 1.0 + square * (
        _EXPM1[0] + square * (_EXPM1[1] + square * (_EXPM1[2] + square * (_EXPM1[3] + square * _EXPM1[4])))
    )
    t = 3.0 - q * half
    e = square * ((q - t) / (6.0 - r * t))
    small = r - (r * e - square)
    e = (r * (e - c) - c) - square
    two_k, per_two_k = _power_of_two(k.astype(np.int64)), _power_of_two(-k.astype(np.int64))
    large = np.where(k < 20, (r - e) + (1.0 - per_two_k), (r - (e + per_two_k)) + 1.0) * two_k
    large = np.where((k < -1) | (k > 56), ((r - e) + 1.0) * two_k - 1.0, large)
    large = np.where(k == -1, 0.5 * (r - e) - 0.5, large)
    large = np.where(k == 1, np.where(r < -0.25, -2.0 * (e - (r + 0.5)), 1.0 + 2.0 * (r - e)), large)
    result = np.where(k == 0, small, large)
    return result if inside is None else np.where(inside, result, _exp(x) - 1.0)


def _exp_reduced(high: Floats, low: Floats) -> Floats:
    """Return exp(high - low) where that is at most half of ln 2, by a rational function of its square."""
    x = high - low
    t = x * x
    c = x - t * (_EXP[0] + t * (_EXP[1] + t * (_EXP[2] + t * (_EXP[3] + t * _EXP[4]))))
    return 1.0 - ((low - (x * c) / (2.0 - c)) - high)


def _scaled(y: Floats, k: Floats) -> Floats:
    """Return y * 2^k in one rounding, where y lies about 1 and k is whole, -1100 to 1024."""
    whole = k.astype(np.int64)
    if not whole.size or (whole.min() > -1021 and whole.max() < 1023):
        return y * _power_of_two(whole)
    half = whole >> 1
    return y * _power_of_two(half) * _power_of_two(whole - half)


def _power_of_two(k: npt.NDArray[np.int64]) -> Floats:
    return ((k + 1023) << 52).view(np.float64)


def _top_bits(x: Floats) -> Floats:
    """Return x without the lower 27 bits of its mantissa."""
    kept = np.ascontiguousarray(x).view(np.int64) & np.int64(-(1 << 27))
    return kept.view(np.float64)


def _beyond_exp(x: Floats) -> Floats:
    return np.where(np.isnan(x), np.nan, np.where(x > 0, np.inf, 0.0))
