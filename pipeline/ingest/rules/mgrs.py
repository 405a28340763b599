"""MGRS references (text) -> WGS-84 degrees of the centre of each square, and the distance of its corners.

The conversion is GEOTRANS, of the US National Geospatial-Intelligence Agency, in the package `mgrs`.
"""

import re
from math import nan, sqrt

import mgrs
import numpy as np
import pyarrow as pa
from mgrs.core import MGRSError

_SHAPE = re.compile(r"([0-9]{0,2})[A-Z]{3}([0-9]{0,10})")
_SCALE = {True: 0.994, False: 0.9996}
"""Least scale of the grid, metres of grid for each metre of ground: polar zones, other zones."""
_SIDES_M = (100_000.0, 10_000.0, 1_000.0, 100.0, 10.0, 1.0)
"""Side of a square, by the number of digits of each of its coordinates."""


def to_degrees(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return latitude, longitude and half the square's diagonal in metres; NaN where the text is no reference.

    Each is float64 of shape (n,). Blanks inside a reference are allowed. A reference of no digits is a square of
    100 km, one of ten a square of 1 m.

    Examples
    --------
    >>> latitude, longitude, reach_m = to_degrees(pa.array(["18N XL 06", "18NXL", "31UDQ4825111932", "hut"]))
    >>> np.round(latitude, 4).tolist(), np.round(longitude, 4).tolist()
    ([5.1109, 4.9745, 48.8582, nan], [-74.0527, -73.647, 2.2945, nan])
    >>> np.round(reach_m, 1).tolist()
    [7073.9, 70739.0, 0.7, nan]
    """
    converter = mgrs.MGRS()
    squares = np.array([_square(text or "", converter) for text in texts.to_pylist()]).reshape(-1, 3)
    return squares[:, 0], squares[:, 1], squares[:, 2]


def _square(text: str, converter: mgrs.MGRS) -> tuple[float, float, float]:
    compact = re.sub(r"\s", "", text).upper()
    shape = _SHAPE.fullmatch(compact)
    if shape is None:
        return nan, nan, nan
    try:
        latitude, longitude = converter.toLatLon(compact)
    except MGRSError:
        return nan, nan, nan
    side_m = _SIDES_M[len(shape[2]) // 2]
    # to 0.1 mm: the C library's last digits differ between processors
    return round(latitude, 9), round(longitude, 9), side_m / sqrt(2) / _SCALE[shape[1] == ""]
