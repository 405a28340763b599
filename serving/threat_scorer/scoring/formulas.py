"""Formulas of the features derived from sensor inputs, for one alarm (floats) and for many (arrays): the same bits.

Only + - * / and square roots in float64, which IEEE 754 rounds alike on every processor.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", float, npt.NDArray[np.float64])

SPLINE_INTERVALS = 10
"""Parts of the voltage's scale in each of which its curve is one parabola."""
SPLINES = SPLINE_INTERVALS + 2
BAND_INTERVALS = 3
"""Parts of a band's scale in each of which its curve is a straight line."""


def voltage_dipole_compensated(voltage: Number, height: Number) -> tuple[Number]:
    """Return the voltage with the fall of a dipole's field over height taken out: voltage * r^3.

    The static field of a magnetic dipole falls with the cube of the distance (Jackson, Classical
    Electrodynamics, 3rd ed. 1999, section 5.6). The burial depth is not known: r counts from one full scale of
    height under the soil.
    """
    distance = 1.0 + height
    return (voltage * (distance * distance * distance),)


def voltage_splines(voltage: Number, height: Number) -> Sequence[Number]:
    """Return the quadratic B-splines of the voltage, and the same times the height.

    A weighted sum of B-splines is a smooth curve (de Boor, A Practical Guide to Splines, 1978). Bare soil reads neither
    high nor low but in a band. One weight on the voltage cannot express a band. With the products, the curve
    changes with height (varying coefficients: Hastie and Tibshirani, JRSS B 55, 1993). Knots stand at tenths of the
    scale, as usual with penalised weights (Eilers and Marx, Statistical Science 11, 1996). Beyond the
    scale the curve stays as at its end.

    Returns
    -------
    sequence of 2 * `SPLINES` floats, or of arrays of shape (n,)
        The splines sum to 1. Three of them, next to each other, are not 0.
    """
    return _splines_of_one(voltage, height) if isinstance(voltage, float) else _splines_of_many(voltage, height)


def _splines_of_one(voltage: float, height: float) -> list[float]:
    """Do the same as `_splines_of_many`, in a fraction of the time that numpy takes for one alarm."""
    if math.isnan(voltage):
        return [math.nan] * (2 * SPLINES)
    place = min(max(voltage, 0.0), 1.0) * SPLINE_INTERVALS
    first = min(int(place), SPLINE_INTERVALS - 1)
    pieces = _quadratic_pieces(place - first)
    values = [0.0] * SPLINES + [0.0 * height] * SPLINES  # a missing height is missing in each product
    values[first : first + 3] = pieces
    values[SPLINES + first : SPLINES + first + 3] = [piece * height for piece in pieces]
    return values


def _splines_of_many(
    voltage: npt.NDArray[np.float64], height: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64]]:
    places = np.clip(voltage, 0.0, 1.0) * SPLINE_INTERVALS
    missing = np.isnan(places)
    firsts = np.minimum(np.where(missing, 0.0, places).astype(np.int64), SPLINE_INTERVALS - 1)
    splines = np.zeros((SPLINES, len(places)))
    for offset, piece in enumerate(_quadratic_pieces(places - firsts)):
        splines[firsts + offset, np.arange(len(places))] = piece
    splines[:, missing] = np.nan
    return [*splines, *(splines * height)]


def _quadratic_pieces(part: Number) -> tuple[Number, Number, Number]:
    """Return the three B-splines that are not 0 in an interval, at a `part` (0 to 1) of its length."""
    rest = 1.0 - part
    return 0.5 * (rest * rest), 0.5 + part * rest, 0.5 * (part * part)


def band_hats(*energies: Number) -> Sequence[Number]:
    """Return the linear B-splines of each band's energy, with knots at thirds of its scale.

    A weighted sum of them is a curve of straight pieces (de Boor 1978). It can pick out a band that is neither loud
    nor silent. Beyond the scale the curve stays as at its end.

    Parameters
    ----------
    energies
        Of each band, 0 to 1: floats, or arrays of shape (n,).

    Returns
    -------
    sequence of 4 floats a band, or of arrays of shape (n,)
        Band after band; the four of a band sum to 1.
    """
    return [hat for energy in energies for hat in _hats(energy)]


def _hats(energy: Number) -> Sequence[Number]:
    if isinstance(energy, float):  # numpy takes twenty times as long for one number; NaN stands first, to be kept
        place = min(max(energy, 0.0), 1.0) * BAND_INTERVALS
        return [max(1.0 - abs(place - knot), 0.0) for knot in range(BAND_INTERVALS + 1)]
    places = np.clip(energy, 0.0, 1.0) * BAND_INTERVALS
    return [np.maximum(1.0 - np.abs(places - knot), 0.0) for knot in range(BAND_INTERVALS + 1)]


def window_shape(*energies: Number) -> tuple[Number, Number, Number]:
    """Return energy, centroid and spread of a signature: a window of bands, or of samples one after the other.

    Centroid and spread are the first two moments of the energy along the window, as shares of the window's length. They
    are those of Peeters, "A large set of audio features for sound description", IRCAM 2004. A silent window has its
    centroid and spread at 0.

    Parameters
    ----------
    energies
        In the window's order: floats, or arrays of shape (n,).
    """
    # one after the other, for one alarm as for many: sums in another order would differ in the last bit
    total = first = second = energies[0] * 0.0
    for place, energy in enumerate(energies):
        at = (place + 0.5) / len(energies)
        total, first, second = total + energy, first + energy * at, second + energy * (at * at)
    centroid = first / (total + _NO_RESPONSE)
    variance = second / (total + _NO_RESPONSE) - centroid * centroid
    return total / len(energies), centroid, _square_root(_not_negative(variance))


def _not_negative(value: Number) -> Number:
    # NaN stands first, to be kept
    result: Number = max(value, 0.0) if isinstance(value, float) else np.maximum(value, 0.0)
    return result


def emi_polar(in_phase: Number, quadrature: Number) -> tuple[Number, Number]:
    """Return the modulus of the complex response, and the cosine of its phase, which helps to distinguish metals.

    Phase, unlike amplitude, hardly changes with distance (Won, Keiswetter and Bell, IEEE Transactions on
    Geoscience and Remote Sensing 39(4), 2001). No response gives a cosine of 0.
    """
    amplitude = _square_root(in_phase * in_phase + quadrature * quadrature)
    return amplitude, in_phase / (amplitude + _NO_RESPONSE)


def _square_root(value: Number) -> Number:
    # both are rounded exactly; on a plain float numpy's is ten times slower
    root: Number = math.sqrt(value) if isinstance(value, float) else np.sqrt(value)
    return root


_NO_RESPONSE = 1e-12
