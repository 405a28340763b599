"""Angles -> sines and cosines, and points -> angles, by series about 0 and a whole number of quarter turns.

Methods and coefficients are those of fdlibm (Sun Microsystems 1993): e_rem_pio2.c, k_sin.c, k_cos.c and s_atan.c.
Results are within 1 ulp; those made of an arctangent are within 2.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.portable_math.blocks import Floats, in_blocks

LARGEST_ANGLE = 65_536.0
"""In radians: sines of larger angles are refused, for the reduction to a quarter turn would lose bits."""
# pi/2 in three parts of 33 bits, so that a multiple of each is exact, and what the third leaves
_HALF_PI_1, _HALF_PI_2, _HALF_PI_2_TAIL = 1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624879595063154e-21
_PI_LOW = 1.2246467991473531772e-16
_SIN = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
_COS = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)
_ARCTAN = (
    3.33333333333329318027e-01,
    -1.99999999998764832476e-01,
    1.42857142725034663711e-01,
    -1.11111104054623557880e-01,
    9.09088713343650656196e-02,
    -7.69187620504482999495e-02,
    6.66107313738753120669e-02,
    -5.83357013379057348645e-02,
    4.97687799461593236017e-02,
    -3.65315727442169155270e-02,
    1.62858201153657823623e-02,
)
_ARCTAN_OF = (  # up to a slope: the slope's arctangent is known at, and that arctangent in two parts
    (11 / 16, 0.5, 4.63647609000806093515e-01, 2.26987774529616870924e-17),
    (19 / 16, 1.0, 7.85398163397448278999e-01, 3.06161699786838301793e-17),
    (39 / 16, 1.5, 9.82793723247329054082e-01, 1.39033110312309984516e-17),
)
_HALF_PI, _HALF_PI_LOW = 1.57079632679489655800, 6.12323399573676603587e-17


def sin(angle: npt.ArrayLike) -> Any:
    """Return the sine of angles in radians, of which none may be beyond `LARGEST_ANGLE` (fdlibm k_sin.c).

    Raises
    ------
    ValueError
        An angle is larger than that, or infinite.
    """
    return in_blocks(lambda x: _sin_cos(x, quarter_turns=0), angle)


def cos(angle: npt.ArrayLike) -> Any:
    """Return the cosine of angles in radians: see `sin` (fdlibm k_cos.c)."""
    return in_blocks(lambda x: _sin_cos(x, quarter_turns=1), angle)


def direction(angle: npt.ArrayLike) -> tuple[Any, Any]:
    """Return the cosine and the sine of angles: where the unit vector of each points."""
    return cos(angle), sin(angle)


def arctan2(y: npt.ArrayLike, x: npt.ArrayLike) -> Any:
    """Return the angle from the x axis to each point that is finite, -pi to pi, within 2 ulp (fdlibm s_atan.c)."""
    y, x = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64))
    at_origin = (x == 0) & (y == 0)
    with np.errstate(divide="ignore", over="ignore"):
        slope = np.abs(y) / np.where(at_origin, 1.0, np.abs(x))
    first = in_blocks(_arctan, slope)
    turned = np.where(np.signbit(x), np.pi - (first - _PI_LOW), first)
    return np.where(np.signbit(y), -turned, turned)[()]


def arcsin(x: npt.ArrayLike) -> Any:
    """Return the angle, -pi/2 to pi/2, whose sine is x, -1 to 1; within 2 ulp."""
    x = np.asarray(x, dtype=np.float64)
    return arctan2(x, np.sqrt((1.0 - x) * (1.0 + x)))


def hypot(x: npt.ArrayLike, y: npt.ArrayLike) -> Any:
    """Return the length of (x, y); neither may be so large that its square is not a float64."""
    return np.sqrt(np.square(x) + np.square(y))


def _sin_cos(x: Floats, *, quarter_turns: int) -> Floats:
    """Return the sine of angles to which so many quarter turns are added."""
    if (np.abs(x) > LARGEST_ANGLE).any():
        raise ValueError(f"angle: got {x[np.abs(x) > LARGEST_ANGLE][0]:g} radians; expected at most {LARGEST_ANGLE:g}")
    known = np.isfinite(x)
    ordinary = x if (all_known := known.all()) else np.where(known, x, 0.0)
    n = np.rint(ordinary * (2 / np.pi))
    first = ordinary - n * _HALF_PI_1
    second = n * _HALF_PI_2
    rest = first - second
    tail = n * _HALF_PI_2_TAIL - ((first - rest) - second)
    r = rest - tail
    low = (rest - r) - tail
    z = r * r
    w = z * z
    quarter = (n.astype(np.int64) + quarter_turns) & 3
    odd = _SIN[1] + z * (_SIN[2] + z * _SIN[3]) + (z * w) * (_SIN[4] + z * _SIN[5])
    cube = z * r
    sine = r - ((z * (0.5 * low - cube * odd) - low) - cube * _SIN[0])
    even = z * (_COS[0] + z * (_COS[1] + z * _COS[2])) + (w * w) * (_COS[3] + z * (_COS[4] + z * _COS[5]))
    half = 0.5 * z
    about = 1.0 - half
    cosine = about + (((1.0 - about) - half) + (z * even - r * low))
    result = np.where((quarter & 1) == 0, sine, cosine)
    result = np.where(quarter >= 2, -result, result)
    return result if all_known else np.where(known, result, np.nan)


def _arctan(slope: Floats) -> Floats:
    """Return the arctangent of slopes that are not negative; infinite ones are right angles."""
    steep = slope >= 39 / 16
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(steep, -1.0 / slope, slope)
    high, low = np.where(steep, _HALF_PI, 0.0), np.where(steep, _HALF_PI_LOW, 0.0)
    least = 7 / 16
    for most, known, known_high, known_low in _ARCTAN_OF:
        some = (slope >= least) & (slope < most)
        x = np.where(some, (x - known) / (1.0 + known * x), x)
        high, low = np.where(some, known_high, high), np.where(some, known_low, low)
        least = most
    z = x * x
    w = z * z
    even = z * (
        _ARCTAN[0] + w * (_ARCTAN[2] + w * (_ARCTAN[4] + w * (_ARCTAN[6] + w * (_ARCTAN[8] + w * _ARCTAN[10]))))
    )
    odd = w * (_ARCTAN[1] + w * (_ARCTAN[3] + w * (_ARCTAN[5] + w * (_ARCTAN[7] + w * _ARCTAN[9]))))
    result: Floats = high - ((x * (even + odd) - low) - x)
    return result
