"""Polygons of a theatre -> which positions lie inside its border, and how far outside the others lie."""

from dataclasses import dataclass

import numpy as np
import shapely

from pipeline.runtime import portable_math

_KM_PER_DEGREE = 111.195
_BAND_DEG = 0.25
"""Height of a band of latitude in which every degree of longitude counts as equally long."""


@dataclass(frozen=True, eq=False)
class Border:
    """The ground of a theatre's reports: polygons in degrees, with holes and several parts."""

    polygons: shapely.Geometry
    digest: str
    """Of the polygons: other ground has another digest."""

    def __post_init__(self) -> None:
        shapely.prepare(self.polygons)
        # GEOS builds its index at the first question, which must not come from two threads at once (its issue 825)
        inside = shapely.point_on_surface(self.polygons)
        self.contains(np.array([inside.y]), np.array([inside.x]))

    def contains(self, latitude_deg: np.ndarray, longitude_deg: np.ndarray) -> np.ndarray:
        """Return which positions lie inside or on the border, bool, shape (n,); NaN lies outside."""
        return np.asarray(shapely.intersects_xy(self.polygons, longitude_deg, latitude_deg))

    def distance_m(self, latitude_deg: np.ndarray, longitude_deg: np.ndarray) -> np.ndarray:
        """Return the distance of positions outside the border, metres, shape (n,); 0 inside.

        The plane has degrees of longitude of the length at the position. The result is right to one in a hundred
        within 100 km, up to 60 degrees north or south.
        """
        distance_km = np.zeros(len(latitude_deg))
        bands = np.round(latitude_deg / _BAND_DEG)
        for band in np.unique(bands):
            mask = bands == band
            shrink = np.array([portable_math.cos(np.radians(band * _BAND_DEG)), 1.0])
            plane = shapely.transform(self.polygons, lambda xy, shrink=shrink: xy * shrink)
            points = shapely.points(np.column_stack([longitude_deg[mask], latitude_deg[mask]]) * shrink)
            distance_km[mask] = shapely.distance(plane, points) * _KM_PER_DEGREE
        return distance_km * 1000
