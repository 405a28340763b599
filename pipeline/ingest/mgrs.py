"""MGRS references (text) -> WGS-84 degrees of the centre of the square that they name."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.portable_math import direction, sin

_A = 6_378_137.0
_E2 = 0.006_694_379_990_141_316  # first eccentricity squared of WGS-84
_K0 = 0.9996
_COLUMNS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_PATTERN = (
    rf"^(?P<zone>[0-9]{{1,2}})(?P<band>[{_BANDS}])(?P<column>[{_COLUMNS}])(?P<row>[{_ROWS}])(?P<digits>[0-9]{{0,10}})$"
)


def to_degrees(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude, float64, shape (n,); NaN where the text is not a reference.

    Blanks inside a reference are allowed. The polar zones (UPS) are not read.

    Examples
    --------
    >>> latitude, longitude = to_degrees(pa.array(["18N XL 06", "18NXL", "31UDQ4825111932", "hut"]))
    >>> np.round(latitude, 4).tolist(), np.round(longitude, 4).tolist()
    ([5.1109, 4.9745, 48.8582, nan], [-74.0527, -73.647, 2.2945, nan])
    """
    compact = pc.utf8_upper(pc.replace_substring_regex(texts, r"\s", ""))
    found = pc.extract_regex(compact, _PATTERN)
    part = {field.name: found.field(i).fill_null("") for i, field in enumerate(found.type)}
    ok = found.is_valid().to_numpy(zero_copy_only=False)
    digits = part["digits"].to_numpy(zero_copy_only=False)
    size = np.array([len(text) for text in digits])
    zone = np.array([int(text or 0) for text in part["zone"].to_pylist()])
    ok &= (size % 2 == 0) & (zone >= 1) & (zone <= 60)
    band, column, row = (
        np.array([letters.find(text) if text else -1 for text in part[name].to_pylist()])
        for name, letters in (("band", _BANDS), ("column", _COLUMNS), ("row", _ROWS))
    )
    # each zone has eight columns of letters, in three sets that follow one another
    easting_100km = column - ((zone - 1) % 3) * 8 + 1
    ok &= (easting_100km >= 1) & (easting_100km <= 8)
    northing_100km = (row - np.where(zone % 2 == 0, 5, 0)) % 20
    half = size // 2
    scale = np.array([1e5, 1e4, 1e3, 1e2, 1e1, 1.0])[half]
    inner = [
        np.array([float(text[at : at + n] or 0) for text, at, n in zip(digits, start, half, strict=True)])
        for start in (np.zeros_like(half), half)
    ]
    easting = easting_100km * 1e5 + (inner[0] + 0.5) * scale
    northing = northing_100km * 1e5 + (inner[1] + 0.5) * scale
    # row letters repeat every 2,000 km: take the repeat that lies in the band
    south_deg = -80.0 + 8.0 * band
    north_deg = np.where(band == len(_BANDS) - 1, 84.0, south_deg + 8.0)
    offset = np.where(south_deg < 0, 10_000_000.0, 0.0)
    latitude = np.full(len(texts), np.nan)
    longitude = np.full(len(texts), np.nan)
    reach_deg = 1.0  # a square of 100 km may cross the edge of its band
    for repeat in range(5):
        lat, lon = _from_utm(zone, easting, northing + repeat * 2e6 - offset)
        fits = ok & np.isnan(latitude) & (lat >= south_deg - reach_deg) & (lat <= north_deg + reach_deg)
        latitude[fits], longitude[fits] = lat[fits], lon[fits]
    return latitude, longitude


def _from_utm(zone: np.ndarray, easting: np.ndarray, northing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invert the transverse Mercator projection (Snyder 1987, Map Projections, eq. 8-17 to 8-25)."""
    ep2 = _E2 / (1 - _E2)
    e1 = (1 - np.sqrt(1 - _E2)) / (1 + np.sqrt(1 - _E2))
    e1_2, e1_3, e1_4 = e1 * e1, e1 * e1 * e1, e1 * e1 * e1 * e1
    mu = northing / _K0 / (_A * (1 - _E2 / 4 - 3 * (_E2 * _E2) / 64 - 5 * (_E2 * _E2 * _E2) / 256))
    phi = (
        mu
        + (3 * e1 / 2 - 27 * e1_3 / 32) * sin(2 * mu)
        + (21 * e1_2 / 16 - 55 * e1_4 / 32) * sin(4 * mu)
        + 151 * e1_3 / 96 * sin(6 * mu)
        + 1097 * e1_4 / 512 * sin(8 * mu)
    )
    cos_phi, sin_phi = direction(phi)
    tan_phi = sin_phi / cos_phi
    c, t = ep2 * np.square(cos_phi), np.square(tan_phi)
    shrink = 1 - _E2 * np.square(sin_phi)
    n = _A / np.sqrt(shrink)
    r = _A * (1 - _E2) / (shrink * np.sqrt(shrink))
    d = (easting - 500_000.0) / (n * _K0)
    d2 = d * d
    latitude = phi - n * tan_phi / r * (
        d2 / 2
        - (5 + 3 * t + 10 * c - 4 * np.square(c) - 9 * ep2) * (d2 * d2) / 24
        + (61 + 90 * t + 298 * c + 45 * np.square(t) - 252 * ep2 - 3 * np.square(c)) * (d2 * d2 * d2) / 720
    )
    longitude = (
        d
        - (1 + 2 * t + c) * (d2 * d) / 6
        + (5 - 2 * c + 28 * t - 3 * np.square(c) + 8 * ep2 + 24 * np.square(t)) * (d2 * d2 * d) / 120
    ) / cos_phi
    return np.degrees(latitude), np.degrees(longitude) + zone * 6.0 - 183.0
