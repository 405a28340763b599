"""The geometry of one GeoJSON feature (RFC 7946) -> its point or vertices, or the reason why it has none."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pipeline.ingest.reading.chunk import SourceError
from pipeline.ingest.reading.unreadable import is_unreadable, unreadable

Points = Literal["features", "vertices"]
Pair = tuple[Any, Any]

_DEPTH = {
    **{"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2},
    "MultiPolygon": 3,
}
"""Type of a geometry -> lists around each position."""

_WGS84 = re.compile(r"(.*[:/])?(CRS84h?|EPSG(:|/)([0-9.]*(:|/))?4326)", re.IGNORECASE)


def positions(feature: dict[str, Any], points: Points) -> list[Pair]:
    """Return longitude and latitude of each record of a feature, at least one.

    Both are None where the feature has no position. Where it cannot be read, both are the reason (`unreadable`).

    Examples
    --------
    >>> point = {"type": "Point", "coordinates": ["-74.1", "4.5", "2600"]}
    >>> positions({"geometry": point}, "features"), positions({"geometry": None}, "vertices")
    ([('-74.1', '4.5')], [(None, None)])
    """
    geometry = feature.get("geometry")
    if geometry is None:
        return [(None, None)]
    if not isinstance(geometry, dict):
        return [_unreadable_pair(f"the geometry is {_kind(geometry)}; expected an object, as RFC 7946 says")]
    for holder in (feature, geometry):
        if not _is_wgs84(holder.get("crs")):
            return [_unreadable_pair(f"its crs is {str(holder['crs'])[:80]}; expected WGS-84, longitude and latitude")]
    kind = geometry.get("type")
    expected = "a Point" if points == "features" else f"one of {', '.join(_DEPTH)}"
    if not isinstance(kind, str) or kind not in _DEPTH:
        return [_unreadable_pair(f"the geometry is {str(kind)[:40]!r}; expected {expected}")]
    try:
        listed = list(_at_depth(geometry.get("coordinates"), _DEPTH[kind]))
    except TypeError:
        return [_unreadable_pair(f"the coordinates are not nested as those of a {kind}")]
    if not listed or listed == [[]]:
        return [(None, None)]
    if points == "vertices":
        return [_pair(position) for position in listed]
    if kind not in ("Point", "MultiPoint") or len(listed) > 1:
        return [_unreadable_pair(f"the geometry is a {kind} of {len(listed)} positions; expected {expected}")]
    return [_pair(listed[0])]


def any_unreadable(pairs: list[Pair]) -> bool:
    """Return whether some position of a feature cannot be read."""
    return any(is_unreadable(longitude) for longitude, _ in pairs)


def check_crs(members: dict[str, Any], where: str) -> None:
    """Refuse a collection whose positions are not longitude and latitude in WGS-84.

    Raises
    ------
    SourceError
        Names the reference system.
    """
    if not _is_wgs84(members.get("crs")):
        raise SourceError(
            f"{where}: crs is {str(members['crs'])[:120]}; expected none, CRS84 or EPSG:4326: have it sent in WGS-84"
        )


def _is_wgs84(crs: Any) -> bool:
    if crs is None:
        return True
    properties = crs.get("properties") if isinstance(crs, dict) and crs.get("type") == "name" else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return isinstance(name, str) and _WGS84.fullmatch(name) is not None


def _at_depth(coordinates: Any, depth: int) -> Iterator[Any]:
    if not isinstance(coordinates, list):
        raise TypeError
    if depth == 0:
        yield coordinates
        return
    for part in coordinates:
        yield from _at_depth(part, depth - 1)


def _pair(position: list[Any]) -> Pair:
    if len(position) not in (2, 3):
        return _unreadable_pair(
            f"a position has {len(position)} numbers; expected longitude, latitude and perhaps a height"
        )
    if any(isinstance(number, list | dict | bool) for number in position):
        return _unreadable_pair("a position holds what is no number; expected longitude and latitude")
    return position[0], position[1]


def _unreadable_pair(problem: str) -> Pair:
    text = unreadable("geometry", problem)
    return text, text


def _kind(value: Any) -> str:
    return {str: "a text or a number", list: "a list", bool: "a truth value"}.get(type(value), "no object")
