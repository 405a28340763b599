"""A scenario -> the ground: an island with towns, roads, rivers, hills, people and waters, cut into H3 cells.

No part of it is a real place. Positions are metres east and north of the island's centre; `Projection` turns them into
degrees.
"""

from dataclasses import dataclass

import h3
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import Delaunay, cKDTree

from pipeline.runtime import portable_math
from pipeline.simulate.scenario import Scenario

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROAD_STEP_M = 250.0
RIVER_STEP_M = 500.0
SHORE_M = 5_000.0
"""Width of the coastal waters that belong to the theatre: a rough report may have its position there."""
BORDER_STEP_M = 500.0
_EARTH_RADIUS_M = 6_371_008.8
_TOWN_AREA_KM2 = 110.0
_TOWN_GAP_M = 4_000.0


@dataclass(frozen=True)
class Projection:
    """Equirectangular projection about a point: metres east and north <-> WGS-84 degrees."""

    latitude_deg: float
    longitude_deg: float

    def degrees(self, xy_m: Floats) -> tuple[Floats, Floats]:
        """Return latitude and longitude of points, shape (n, 2) in, two of shape (n,) out.

        Examples
        --------
        >>> latitude, longitude = Projection(-30.0, -15.0).degrees(np.array([[0.0, 111_195.08]]))
        >>> round(float(latitude[0]), 4), float(longitude[0])
        (-29.0, -15.0)
        """
        latitude = self.latitude_deg + np.degrees(xy_m[:, 1] / _EARTH_RADIUS_M)
        longitude = self.longitude_deg + np.degrees(xy_m[:, 0] / self._parallel_radius_m)
        return latitude, longitude

    def metres(self, latitude_deg: Floats, longitude_deg: Floats) -> Floats:
        """Return metres east and north, shape (n, 2), of points given in degrees."""
        x = np.radians(longitude_deg - self.longitude_deg) * self._parallel_radius_m
        y = np.radians(latitude_deg - self.latitude_deg) * _EARTH_RADIUS_M
        return np.column_stack([x, y])

    @property
    def _parallel_radius_m(self) -> float:
        return _EARTH_RADIUS_M * float(portable_math.cos(np.radians(self.latitude_deg)))


@dataclass(frozen=True)
class Ground:
    """The island. Arrays of shape (cells,) describe the cells in order; points are metres, shape (n, 2)."""

    projection: Projection
    cells: NDArray[np.str_]
    """H3 addresses, sorted."""
    centre_m: Floats
    elevation_m: Floats
    population: Floats
    """0 at sea."""
    road_m: Floats
    """Length of road in the cell."""
    town_distance_m: Floats
    towns_m: Floats
    town_population: Floats
    roads_m: Floats
    """Points along the roads, `ROAD_STEP_M` apart."""
    road_cell: Integers
    """Index of the cell that holds each road point."""
    rivers_m: Floats
    """Points along the rivers, `RIVER_STEP_M` apart."""
    border_m: Floats
    """The edge of the island's waters: a closed line about the centre, its points at most `BORDER_STEP_M` apart."""

    def cell_of(self, xy_m: Floats) -> Integers:
        """Return the index of the nearest cell centre: H3's own answer but for a strip of metres at its edges."""
        return np.asarray(cKDTree(self.centre_m).query(xy_m)[1], dtype=np.int64)

    def road_share(self) -> Floats:
        """Return each cell's share of all road, shape (cells,)."""
        return np.asarray(self.road_m / self.road_m.sum())

    def road_points(self, cell: Integers, random: np.random.Generator) -> Floats:
        """Draw a point on or beside the road in each given cell, which must have road; shape (n, 2)."""
        order = np.argsort(self.road_cell, kind="stable")
        first = np.searchsorted(self.road_cell[order], cell)
        points = np.round(self.road_m[cell] / ROAD_STEP_M)
        chosen = order[first + np.floor(random.random(len(cell)) * points).astype(np.int64)]
        return self.roads_m[chosen] + random.normal(0, 60, (len(cell), 2))

    def across_border(self, xy_m: Floats, beyond_m: float) -> Floats:
        """Return points beyond the border where it is nearest to the given ones; shape (n, 2)."""
        edge = self.border_m[cKDTree(self.border_m).query(xy_m)[1]]
        return np.asarray(edge * (1 + beyond_m / portable_math.hypot(edge[:, 0], edge[:, 1]))[:, None])


def make_ground(scenario: Scenario) -> Ground:
    """Make the island of a scenario."""
    random = scenario.random("ground")
    projection = Projection(scenario.latitude_deg, scenario.longitude_deg)
    coast = _Coast.draw(scenario.size.land_radius_km * 1000, random)
    corners_m = _corners(coast)
    cells, centre_m = _cells(corners_m, projection, scenario.h3_resolution)
    towns_m = _towns(coast, random)
    largest = 60_000 * portable_math.exp(-0.8 * portable_math.log(np.arange(1, len(towns_m) + 1)))  # of each rank
    town_population = np.round(largest * portable_math.exp(random.normal(0, 0.3, len(towns_m))))
    roads_m = _roads(towns_m, random)
    road_cell = np.asarray(cKDTree(centre_m).query(roads_m)[1], dtype=np.int64)
    return Ground(
        projection=projection,
        cells=cells,
        centre_m=centre_m,
        elevation_m=_elevation(centre_m, coast, random),
        population=_population(centre_m, coast, towns_m, town_population),
        road_m=np.bincount(road_cell, minlength=len(cells)).astype(np.float64) * ROAD_STEP_M,
        town_distance_m=np.asarray(cKDTree(towns_m).query(centre_m)[0]),
        towns_m=towns_m,
        town_population=town_population,
        roads_m=roads_m,
        road_cell=road_cell,
        rivers_m=_rivers(coast, max(2, len(towns_m) // 6), random),
        border_m=_border(corners_m),
    )


@dataclass(frozen=True)
class _Coast:
    """The island's outline: its distance from the centre in every direction."""

    radius_m: float
    phases: Floats

    @classmethod
    def draw(cls, radius_m: float, random: np.random.Generator) -> "_Coast":
        return cls(radius_m, random.uniform(0, 2 * np.pi, 3))

    def distance_m(self, bearing: Floats) -> Floats:
        waves = np.multiply.outer(bearing, [2, 3, 5]) + self.phases
        return np.asarray(self.radius_m * (1 + (portable_math.cos(waves) * [0.14, 0.08, 0.04]).sum(axis=1)))

    def inland(self, xy_m: Floats) -> Floats:
        """Return 1 at the centre, 0 at the coast, less than 0 in the sea."""
        bearing = portable_math.arctan2(xy_m[:, 1], xy_m[:, 0])
        return np.asarray(1 - portable_math.hypot(xy_m[:, 0], xy_m[:, 1]) / self.distance_m(bearing))


def _corners(coast: _Coast) -> Floats:
    """Return the corners of the island's waters."""
    bearing = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    return np.asarray(
        (coast.distance_m(bearing) + SHORE_M)[:, None] * np.column_stack(portable_math.direction(bearing))
    )


def _border(corners_m: Floats) -> Floats:
    """Close the line through the corners and put points on its straight parts."""
    ahead = np.roll(corners_m, -1, axis=0) - corners_m
    steps = int(np.ceil(portable_math.hypot(ahead[:, 0], ahead[:, 1]).max() / BORDER_STEP_M))
    points = corners_m[:, None] + np.linspace(0, 1, steps, endpoint=False)[None, :, None] * ahead[:, None]
    return np.vstack([points.reshape(-1, 2), corners_m[:1]])


def _cells(corners_m: Floats, projection: Projection, resolution: int) -> tuple[NDArray[np.str_], Floats]:
    polygon = h3.LatLngPoly(list(zip(*(axis.tolist() for axis in projection.degrees(corners_m)), strict=True)))
    cells = np.array(sorted(h3.h3shape_to_cells(polygon, resolution)))
    # H3 takes sines from the C library, whose last bits differ; a ten-thousandth of a metre is beyond them
    centres = np.round(np.array([h3.cell_to_latlng(cell) for cell in cells]), 9)
    return cells, projection.metres(centres[:, 0], centres[:, 1])


def _towns(coast: _Coast, random: np.random.Generator) -> Floats:
    """Draw towns that keep a gap between them, none at the shore."""
    count = max(6, round(np.pi * float(np.square(coast.radius_m / 1000)) / _TOWN_AREA_KM2))
    candidates = random.uniform(-1.3 * coast.radius_m, 1.3 * coast.radius_m, (count * 20, 2))
    candidates = candidates[coast.inland(candidates) > 0.08]
    chosen: list[int] = []
    blocked = np.zeros(len(candidates), dtype=bool)
    near = cKDTree(candidates).query_ball_point(candidates, _TOWN_GAP_M)
    for index, neighbours in enumerate(near):
        if not blocked[index] and len(chosen) < count:
            chosen.append(index)
            blocked[neighbours] = True
    return np.asarray(candidates[chosen])


def _roads(towns_m: Floats, random: np.random.Generator) -> Floats:
    """Join the towns, in gentle bows, by the shortest tree and by the shorter half of the Delaunay edges."""
    corners = Delaunay(towns_m).simplices
    pairs = np.unique(np.sort(np.vstack([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]]), axis=1), axis=0)
    length = portable_math.hypot(*(towns_m[pairs[:, 0]] - towns_m[pairs[:, 1]]).T)
    graph = sparse.csr_array((length, (pairs[:, 0], pairs[:, 1])), shape=(len(towns_m), len(towns_m)))
    tree = minimum_spanning_tree(graph).tocoo()
    in_tree = {(int(a), int(b)) for a, b in zip(tree.row, tree.col, strict=True)}
    short = length <= np.median(length)
    points = []
    for (a, b), metres, is_short in zip(pairs.tolist(), length, short, strict=True):
        if is_short or (a, b) in in_tree:
            along = np.arange(0, 1, ROAD_STEP_M / metres)[:, None]
            ahead = towns_m[b] - towns_m[a]
            across = np.array([-ahead[1], ahead[0]])
            bow = random.normal(0, 0.12) * portable_math.sin(np.pi * along)
            bow += random.normal(0, 0.04) * portable_math.sin(3 * np.pi * along)
            points.append(towns_m[a] + along * ahead + bow * across)
    return np.vstack(points)


def _rivers(coast: _Coast, count: int, random: np.random.Generator) -> Floats:
    """Let rivers wind from the hills to the sea."""
    points = []
    for bearing in random.uniform(0, 2 * np.pi, count):
        reach = np.arange(0.15 * coast.radius_m, 1.3 * coast.radius_m, RIVER_STEP_M)
        wind = bearing + 0.25 * portable_math.sin(reach / random.uniform(4_000, 9_000) + random.uniform(0, 2 * np.pi))
        line = reach[:, None] * np.column_stack(portable_math.direction(wind))
        points.append(line[coast.inland(line) > 0])
    return np.vstack(points)


def _elevation(centre_m: Floats, coast: _Coast, random: np.random.Generator) -> Floats:
    """Raise hills of a few kilometres that flatten towards the shore."""
    hills = max(6, round(float(np.square(coast.radius_m / 7_000))))
    surface = smooth_field(centre_m, hills, width_m=6_000, reach_m=coast.radius_m, random=random)
    return np.asarray(np.clip(250 + 180 * surface, 5, None) * np.clip(coast.inland(centre_m) * 4, 0, 1))


def smooth_field(
    points_m: Floats, bumps: int, *, width_m: float, reach_m: float, random: np.random.Generator
) -> Floats:
    """Return a smooth random field at points, shape (n,): a sum of Gaussian bumps, mean 0 and deviation 1.

    Parameters
    ----------
    points_m
        Metres, shape (n, 2).
    bumps
        Number of bumps.
    width_m
        Standard deviation of a bump.
    reach_m
        The bumps' centres lie within this distance of 0 on either axis.
    random
        Draws centres and heights.
    """
    centres = random.uniform(-reach_m, reach_m, (bumps, 2))
    heights = random.normal(0, 1, bumps)
    field = np.zeros(len(points_m))
    tree = cKDTree(points_m)
    for centre, height in zip(centres, heights, strict=True):
        near = tree.query_ball_point(centre, 3 * width_m)
        square_m2 = np.sum(np.square(points_m[near] - centre), axis=1)
        field[near] += height * portable_math.exp(-square_m2 / (2 * width_m * width_m))
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-9))


def _population(centre_m: Floats, coast: _Coast, towns_m: Floats, town_population: Floats) -> Floats:
    """Spread each town over the cells about it, and a few people over the countryside; none live at sea."""
    on_land = coast.inland(centre_m) > 0
    people: Floats = np.where(on_land, 40.0, 0.0).astype(np.float64)
    land = np.flatnonzero(on_land)
    tree = cKDTree(centre_m[land])
    for town, inhabitants in zip(towns_m, town_population, strict=True):
        near = land[tree.query_ball_point(town, 6_000)]
        weight = portable_math.exp(-portable_math.hypot(*(centre_m[near] - town).T) / 1_500)
        people[near] += inhabitants * weight / weight.sum()
    return np.round(people)
