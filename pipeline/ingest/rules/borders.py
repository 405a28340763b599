"""A GeoJSON file of polygons -> a theatre's border: which positions lie inside, and how far across it others are."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.mapping.mapping import read_mapping
from pipeline.ingest.reading.chunk import SourceError
from pipeline.ingest.reading.files import open_utf8
from pipeline.ingest.reading.geojson import members
from pipeline.params import Bounds, Theatre
from pipeline.runtime import portable_math
from pipeline.runtime.errors import DeclarationError

_KM_PER_DEGREE = 111.195
_BAND_DEG = 0.25
"""Height of the bands of latitude in each of which a degree of longitude is taken to be of one length."""


@dataclass(frozen=True, eq=False)
class Border:
    """The ground that a theatre's reports can be of: polygons in degrees, with holes and parts as they come."""

    polygons: shapely.Geometry
    digest: str
    """Of the polygons: other ground is another digest."""

    def __post_init__(self) -> None:
        shapely.prepare(self.polygons)
        # GEOS builds the index at the first question, which must not come from two threads at once (its issue 825)
        inside = shapely.point_on_surface(self.polygons)
        self.holds(np.array([inside.y]), np.array([inside.x]))

    def holds(self, latitude_deg: np.ndarray, longitude_deg: np.ndarray) -> np.ndarray:
        """Return which positions lie inside or on the border, bool, shape (n,); one that is not a number does not."""
        return np.asarray(shapely.intersects_xy(self.polygons, longitude_deg, latitude_deg))

    def distance_m(self, latitude_deg: np.ndarray, longitude_deg: np.ndarray) -> np.ndarray:
        """Return how far outside the border positions lie, metres, shape (n,); 0 inside.

        On a plane in which a degree of longitude has the length that it has at the position: right to one in a hundred
        within 100 km up to 60 degrees north or south.
        """
        distance_km = np.zeros(len(latitude_deg))
        band = np.round(latitude_deg / _BAND_DEG)
        for one in np.unique(band):
            some = band == one
            shrink = np.array([portable_math.cos(np.radians(one * _BAND_DEG)), 1.0])
            plane = shapely.transform(self.polygons, lambda xy, shrink=shrink: xy * shrink)
            points = shapely.points(np.column_stack([longitude_deg[some], latitude_deg[some]]) * shrink)
            distance_km[some] = shapely.distance(plane, points) * _KM_PER_DEGREE
        return distance_km * 1000


def border_of(theatre: Theatre | None, *, sources: Path, raw: Path) -> Border | None:
    """Read the border that a theatre names from its source's file under `raw`; None where it names none.

    Raises
    ------
    DeclarationError
        The source is not one of places from a GeoJSON file.
    SourceError
        As `read_border`.
    """
    if theatre is None or theatre.border is None:
        return None
    path = sources / f"{theatre.border}.yaml"
    mapping = read_mapping(path, measured=())
    if (mapping.table, mapping.format.kind) != ("places", "geojson"):
        raise DeclarationError(
            f"{path}: table {mapping.table}, format.kind {mapping.format.kind}; expected places and geojson, since "
            "theatre.border in params.yaml names it"
        )
    return read_border(raw / mapping.file, mapping.format, theatre.bounds)


def read_border(path: Path, form: Format, bounds: Bounds) -> Border:
    """Read the polygons of a GeoJSON feature collection; together they are the ground inside.

    Raises
    ------
    SourceError
        The file cannot be read, has a feature that is not a whole polygon, or ground that the bounds do not meet.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file; expected the border's polygons: run python -m pipeline.acquire first")
    with open_utf8(path, form) as stream:
        features = enumerate((feature for feature, _ in members(stream, path)), start=1)
        parts = [_polygon(feature, f"{path} feature {number}") for number, feature in features]
    if not parts:
        raise SourceError(f"{path}: no features; expected the polygons of the border")
    ground = shapely.union_all(parts)
    theatre = shapely.box(bounds.west_deg, bounds.south_deg, bounds.east_deg, bounds.north_deg)
    if not shapely.intersects(ground, theatre):
        west, south, east, north = ground.bounds
        raise SourceError(
            f"{path}: the polygons lie in {south:g} to {north:g} north, {west:g} to {east:g} east; expected ground "
            "within the theatre's bounds, in degrees with the longitude first"
        )
    return Border(ground, hashlib.sha256(shapely.to_wkb(ground, byte_order=1)).hexdigest())


def _polygon(feature: Any, where: str) -> shapely.Geometry:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    geometry = geometry if isinstance(geometry, dict) else {}
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise SourceError(f"{where}: geometry is {kind}; expected Polygon or MultiPolygon")
    try:
        # the numbers come as the file has them, as text
        polygon = shape({"type": kind, "coordinates": _numbers(geometry["coordinates"])})
    except (KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError) as error:
        raise SourceError(f"{where}: not a {kind} ({error}); got {json.dumps(geometry)[:80]}") from None
    if polygon.is_empty or not polygon.is_valid:
        raise SourceError(f"{where}: not a polygon that encloses ground: {shapely.is_valid_reason(polygon)}")
    return polygon


def _numbers(coordinates: Any) -> Any:
    return [_numbers(part) for part in coordinates] if isinstance(coordinates, list) else float(coordinates)
