"""A GeoJSON file of polygons -> a theatre's border."""

import hashlib
import json
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.mapping.mapping import read_mapping
from pipeline.ingest.reading.chunk import SourceError
from pipeline.ingest.reading.files import open_utf8
from pipeline.ingest.reading.geojson import members
from pipeline.ingest.rules.border import Border
from pipeline.params.datasets import Bounds, Theatre
from pipeline.runtime.errors import DeclarationError


def border_of(theatre: Theatre | None, *, sources: Path, raw: Path) -> Border | None:
    """Read the border that a theatre names; None where it names none.

    Parameters
    ----------
    theatre
        The dataset's; None where it has no ground.
    sources
        Folder of the mappings.
    raw
        Folder with the border's file.

    Raises
    ------
    DeclarationError
        The border's source is not a mapping of places from GeoJSON.
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

    Parameters
    ----------
    path
        The file.
    form
        Its format.
    bounds
        Of the theatre, which the ground must meet.

    Raises
    ------
    SourceError
        The file cannot be read, has a feature that is not a whole polygon, or lies outside the bounds.
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
