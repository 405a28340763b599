"""Text of positions -> degrees inside the theatre; rows elsewhere are rejected with a hint, never repaired."""

from collections.abc import Callable
from collections.abc import Mapping as Lookup
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.mapping.fields import BETWEEN, GEOMETRY, Field, Position
from pipeline.ingest.rules import mgrs
from pipeline.ingest.rules.border import Border
from pipeline.ingest.rules.gazetteer import Gazetteer
from pipeline.ingest.rules.values import ChunkColumns, Rejections
from pipeline.params.datasets import Bounds


@dataclass(frozen=True)
class Located:
    """The position columns of a chunk, `double`, shape (n,)."""

    latitude_deg: pa.Array
    longitude_deg: pa.Array
    precision_m: pa.Array


def locate(
    columns: ChunkColumns,
    rejections: Rejections,
    position: Position | None,
    *,
    bounds: Bounds,
    border: Border | None,
    gazetteers: Lookup[str, Gazetteer],
) -> Located:
    """Find the position of each row; reject rows without one, or with an impossible one.

    Parameters
    ----------
    columns
        The records' text.
    rejections
        Receives the rejected rows.
    position
        The mapping's; None where the table has no positions.
    bounds
        Of the theatre.
    border
        Of the theatre; None where it names none.
    gazetteers
        By the name of their source.
    """
    if position is None:
        nowhere = pa.nulls(len(columns), pa.float64())
        return Located(nowhere, nowhere, nowhere)
    if position.place is not None:
        latitude, longitude, shown, column = _looked_up(columns, rejections, position, gazetteers)
    elif position.mgrs is not None:
        latitude, longitude, reach_m, shown = _from_grid(columns, rejections, position.mgrs)
        column = position.mgrs
    else:
        latitude, longitude, shown, column = _from_degrees(columns, rejections, position)
    precision = _precision(columns, rejections, position.precision_m)
    if position.mgrs is not None:  # the place may lie in any corner of the square
        precision = pc.if_else(pc.less(precision, reach_m).fill_null(False), reach_m, precision)
    radius_m = precision.fill_null(0.0).to_numpy(zero_copy_only=False)
    _check(latitude, longitude, radius_m, bounds, border, rejections, column=column, shown=shown)
    return Located(pa.array(latitude), pa.array(longitude), precision)


def _from_degrees(
    columns: ChunkColumns, rejections: Rejections, position: Position
) -> tuple[np.ndarray, np.ndarray, pa.Array, str]:
    longitude_name, latitude_name = GEOMETRY
    if position.latitude is not None and position.longitude is not None:
        longitude_name, latitude_name = position.longitude, position.latitude
    degrees = []
    for name, target in ((latitude_name, "latitude_deg"), (longitude_name, "longitude_deg")):
        text = columns.text(name)
        missing = text.is_null().to_numpy(zero_copy_only=False)
        problem = f"{target} is missing; expected degrees"
        rejections.reject(missing, column=name, rule="missing_value", problem=problem, values=text)
        numbers = columns.parse_numbers(text, column=name, target=target)
        degrees.append(numbers.fill_null(np.nan).to_numpy(zero_copy_only=False))
    shown = pc.binary_join_element_wise(
        columns.text(latitude_name), columns.text(longitude_name), ", ", null_handling="replace"
    )
    return degrees[0], degrees[1], shown, f"{latitude_name}, {longitude_name}"


def _from_grid(
    columns: ChunkColumns, rejections: Rejections, name: str
) -> tuple[np.ndarray, np.ndarray, pa.Array, pa.Array]:
    text = columns.text(name)
    missing = text.is_null().to_numpy(zero_copy_only=False)
    rejections.reject(missing, column=name, rule="missing_value", problem="the position is missing", values=text)
    latitude, longitude, reach_m = mgrs.to_degrees(text)
    problem = "{value} is not an MGRS reference; expected as 18NUK8201, zone, band, square, digits"
    rejections.reject(np.isnan(latitude), column=name, rule="mgrs", problem=problem, values=text)
    return latitude, longitude, pa.array(reach_m), text


def _looked_up(
    columns: ChunkColumns, rejections: Rejections, position: Position, gazetteers: Lookup[str, Gazetteer]
) -> tuple[np.ndarray, np.ndarray, pa.Array, str]:
    assert position.place is not None
    name, gazetteer = position.place.column, gazetteers[position.place.source]
    codes = columns.text(name)
    index = pc.index_in(codes, gazetteer.codes).fill_null(-1).to_numpy(zero_copy_only=False)
    missing = codes.is_null().to_numpy(zero_copy_only=False)
    rejections.reject(missing, column=name, rule="missing_value", problem="the place code is missing", values=codes)
    problem = f"{{value}} is not a place of {position.place.source}"
    rejections.reject(index < 0, column=name, rule="unknown_place", problem=problem, values=codes)
    latitude = np.append(gazetteer.latitude_deg, np.nan)[index]
    longitude = np.append(gazetteer.longitude_deg, np.nan)[index]
    return latitude, longitude, codes, name


def _precision(columns: ChunkColumns, rejections: Rejections, stated: float | Field) -> pa.Array:
    if not isinstance(stated, Field):
        return pa.repeat(pa.scalar(float(stated)), len(columns))
    precision = columns.mapped_numbers(stated, target="precision_m", required=True)
    small = pc.less_equal(precision, 0.0).fill_null(False).to_numpy(zero_copy_only=False)
    problem = "location_precision_m = {value}; expected more than 0 m"
    source = BETWEEN.join(stated.sources)
    rejections.reject(small, column=source, rule="range", problem=problem, values=precision.cast(pa.string()))
    return precision


def _check(
    latitude: np.ndarray,
    longitude: np.ndarray,
    radius_m: np.ndarray,
    bounds: Bounds,
    border: Border | None,
    rejections: Rejections,
    *,
    column: str,
    shown: pa.Array,
) -> None:
    def within_bounds(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        south_north = (lat >= bounds.south_deg) & (lat <= bounds.north_deg)
        return south_north & (lon >= bounds.west_deg) & (lon <= bounds.east_deg)

    def fits(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        return within_bounds(lat, lon) & (True if border is None else border.contains(lat, lon))

    known = ~(np.isnan(latitude) | np.isnan(longitude))
    outside = known & ~within_bounds(latitude, longitude)
    across_m = np.zeros(len(latitude))
    if border is not None:
        beyond = np.flatnonzero(known & ~outside & ~border.contains(latitude, longitude))
        across_m[beyond] = border.distance_m(latitude[beyond], longitude[beyond])
    across = across_m > radius_m  # a rough position a little over the line is not wrong
    wrong = np.flatnonzero(outside | across)
    if not len(wrong):
        return
    box = f"{bounds.south_deg:g} to {bounds.north_deg:g} north, {bounds.west_deg:g} to {bounds.east_deg:g} east"
    zero = (outside | across) & (latitude == 0) & (longitude == 0)
    problem = f"latitude, longitude = {{value}}: the point 0, 0 stands for a position that is not known; expected {box}"
    rejections.reject(zero, column=column, rule="zero_position", problem=problem, values=shown)
    off_earth = outside & ((np.abs(latitude) > 90) | (np.abs(longitude) > 180))
    hints = [""] * len(latitude)
    for index, hint in zip(wrong, _hints(latitude[wrong], longitude[wrong], across_m[wrong], fits), strict=True):
        hints[index] = hint
    for rule, rows, expected in (
        ("position_range", off_earth, "-90 to 90, -180 to 180"),
        ("outside_theatre", outside, box),
        ("across_border", across, "a position inside the theatre's border"),
    ):
        problem = f"latitude, longitude = {{value}}{{hint}}; expected {expected}"
        rejections.reject(rows, column=column, rule=rule, problem=problem, values=shown, hints=hints)


def _hints(
    latitude: np.ndarray,
    longitude: np.ndarray,
    across_m: np.ndarray,
    fits: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> list[str]:
    """Return, for each position, the first change that would put it inside, or its distance; after a colon."""
    changes = {
        ": latitude and longitude look swapped": fits(longitude, latitude),
        ": the sign of the longitude looks flipped": fits(latitude, -longitude),
        ": the sign of the latitude looks flipped": fits(-latitude, longitude),
        ": both signs look flipped": fits(-latitude, -longitude),
        ": swapped, with a sign flipped": fits(longitude, -latitude) | fits(-longitude, latitude),
    }
    far = [f": lies {metres / 1000:.1f} km across the border" if metres > 0 else "" for metres in across_m]
    return [str(hint) for hint in np.select(list(changes.values()), list(changes), np.array(far))]
