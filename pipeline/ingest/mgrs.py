"""MGRS references (text) -> WGS-84 degrees of the centre of the square that they name."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
    scale = 10.0 ** (5 - half)
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
    mu = northing / _K0 / (_A * (1 - _E2 / 4 - 3 * _E2**2 / 64 - 5 * _E2**3 / 256))
    phi = (
        mu
        + (3 * e1 / 2 - 27 * e1**3 / 32) * np.sin(2 * mu)
        + (21 * e1**2 / 16 - 55 * e1**4 / 32) * np.sin(4 * mu)
        + 151 * e1**3 / 96 * np.sin(6 * mu)
        + 1097 * e1**4 / 512 * np.sin(8 * mu)
    )
    sin, cos, tan = np.sin(phi), np.cos(phi), np.tan(phi)
    c, t = ep2 * cos**2, tan**2
    n = _A / np.sqrt(1 - _E2 * sin**2)
    r = _A * (1 - _E2) / (1 - _E2 * sin**2) ** 1.5
    d = (easting - 500_000.0) / (n * _K0)
    latitude = phi - n * tan / r * (
        d**2 / 2
        - (5 + 3 * t + 10 * c - 4 * c**2 - 9 * ep2) * d**4 / 24
        + (61 + 90 * t + 298 * c + 45 * t**2 - 252 * ep2 - 3 * c**2) * d**6 / 720
    )
    longitude = (
        d - (1 + 2 * t + c) * d**3 / 6 + (5 - 2 * c + 28 * t - 3 * c**2 + 8 * ep2 + 24 * t**2) * d**5 / 120
    ) / cos
    return np.degrees(latitude), np.degrees(longitude) + zone * 6.0 - 183.0
