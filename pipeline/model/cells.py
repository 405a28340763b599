"""Positions in degrees <-> H3 cells: where a point lies, which cells are near it, and who neighbours whom.

Cells are uint64 inside and hexadecimal strings in files. Distances are great-circle, on a sphere.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import h3.api.numpy_int as h3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from scipy.spatial import KDTree

from pipeline.runtime import portable_math

Cells: TypeAlias = npt.NDArray[np.uint64]
Degrees: TypeAlias = npt.NDArray[np.float64]

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG, Moritz 2000)."""


def locate(latitude_deg: Degrees, longitude_deg: Degrees, *, resolution: int) -> Cells:
    """Return the cell of each position, shape (n,).

    Parameters
    ----------
    latitude_deg, longitude_deg
        WGS-84, shape (n,).
    resolution
        Of the cells, as H3 counts it.
    """
    # partners repeat positions, such as a town's centre: ask once for each
    positions, where = np.unique(np.column_stack([latitude_deg, longitude_deg]), axis=0, return_inverse=True)
    cells = [h3.latlng_to_cell(latitude, longitude, resolution) for latitude, longitude in positions]
    return np.array(cells, dtype=np.uint64)[where.ravel()]


def placed(rows: pa.Table) -> tuple[Degrees, Degrees]:
    """Return latitude and longitude of those rows of a table that have a position, degrees, each of shape (n,)."""
    known = rows.filter(pc.is_valid(rows["latitude_deg"]))
    return known["latitude_deg"].to_numpy(), known["longitude_deg"].to_numpy()


def centres(cells: Cells) -> tuple[Degrees, Degrees]:
    """Return latitude and longitude of the cells' centres, degrees, each of shape (n,)."""
    # H3 takes sines from the C library, whose last bits differ; a ten-thousandth of a metre is beyond them
    positions = np.round(np.array([h3.cell_to_latlng(cell) for cell in cells], dtype=np.float64).reshape(-1, 2), 9)
    return positions[:, 0], positions[:, 1]


def outlines(written: Sequence[str]) -> list[Degrees]:
    """Return the corners of cells that stand as H3 writes them, in turn: longitude and latitude, degrees, (corners, 2).

    A cell across the antimeridian goes on past 180 degrees, so that it stays in one piece.
    """
    outlined = [np.array(h3.cell_to_boundary(cell))[:, ::-1] for cell in from_names(written)]
    for corners in outlined:
        if np.ptp(corners[:, 0]) > 180:
            corners[corners[:, 0] < 0, 0] += 360
    return outlined


def within(latitude_deg: Degrees, longitude_deg: Degrees, *, distance_m: float, resolution: int) -> Cells:
    """Return the cells whose centre lies within `distance_m` of any of the positions, and the positions' own cells.

    Parameters
    ----------
    latitude_deg, longitude_deg
        WGS-84, shape (p,).
    distance_m
        Great-circle distance, metres.
    resolution
        Of the cells, as H3 counts it.

    Returns
    -------
    ndarray of uint64, shape (n,)
        Sorted, each once.
    """
    own = np.unique(locate(latitude_deg, longitude_deg, resolution=resolution))
    # centres of neighbours are sqrt(3) edges apart; where the grid is distorted, cells can be a third narrower
    spacing_m = np.sqrt(3) * h3.average_hexagon_edge_length(resolution, unit="m") / 1.5
    reach = int(np.ceil(distance_m / spacing_m)) + 1
    near = np.unique(np.concatenate([np.empty(0, np.uint64), *(h3.grid_disk(cell, reach) for cell in own)]))
    close = nearest_m(*centres(near), latitude_deg, longitude_deg) <= distance_m
    return np.union1d(own, near[close])


def nearest_m(latitude_deg: Degrees, longitude_deg: Degrees, to_latitude: Degrees, to_longitude: Degrees) -> Degrees:
    """Return the great-circle distance in metres from each position to the nearest target, shape (n,).

    Parameters
    ----------
    latitude_deg, longitude_deg
        The positions, WGS-84, shape (n,).
    to_latitude, to_longitude
        The targets, WGS-84, shape (m,); the distance is infinite where there are none.
    """
    if len(to_latitude) == 0:
        return np.full(len(latitude_deg), np.inf)
    tree = KDTree(_on_unit_sphere(to_latitude, to_longitude))
    chord, _ = tree.query(_on_unit_sphere(latitude_deg, longitude_deg))
    return np.asarray(2 * EARTH_RADIUS_M * portable_math.arcsin(np.minimum(chord / 2, 1.0)))


def ring_matrices(cells: Cells, rings: int) -> tuple[sparse.csr_array[Any, Any], ...]:
    """Return who stands k steps from whom, for k = 0 .. `rings`, as sparse 0/1 matrices.

    Parameters
    ----------
    cells
        Sorted, each once, shape (n,). Neighbours that are not among them do not count.

    Returns
    -------
    tuple of csr_array of float64, shape (n, n)
        ``matrices[k] @ values`` sums the values over ring k of each cell.
    """
    matrices = []
    for k in range(rings + 1):
        around = [h3.grid_ring(cell, k) for cell in cells]
        rows = np.repeat(np.arange(len(cells)), [len(ring) for ring in around])
        neighbours = np.concatenate([np.empty(0, np.uint64), *around])
        columns, known = index_of(neighbours, cells)
        shape = (len(cells), len(cells))
        ones = np.ones(int(known.sum()))
        matrices.append(sparse.csr_array((ones, (rows[known], columns[known])), shape=shape))
    return tuple(matrices)


def spread_matrix(cells: Cells, spread_cells: float) -> sparse.csr_array[Any, Any]:
    """Return a Gaussian kernel over the cells around each cell, as a sparse matrix.

    Parameters
    ----------
    cells
        Sorted, each once, shape (n,).
    spread_cells
        Standard deviation, in distances between the centres of neighbouring cells; weights beyond three are 0.

    Returns
    -------
    csr_array of float64, shape (n, n)
        ``matrix @ counts`` gives the smoothed count of each cell. On an endless even grid each row sums to 1; at the
        theatre's edge to less, for nothing is known of what lies beyond.
    """
    spacing_m = np.sqrt(3) * h3.average_hexagon_edge_length(resolution_of(cells), unit="m")
    spread_m = spread_cells * spacing_m
    tree = KDTree(EARTH_RADIUS_M * _on_unit_sphere(*centres(cells)))
    near = tree.sparse_distance_matrix(tree, 3 * spread_m, output_type="coo_matrix")
    weight = portable_math.exp(-0.5 * np.square(near.data / spread_m))
    whole = _on_even_grid(spread_cells)
    return sparse.csr_array((weight / whole, (near.row, near.col)), shape=near.shape)


def index_of(wanted: Cells, cells: Cells) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return where each wanted cell stands among the sorted `cells`, and whether it does."""
    index = np.minimum(np.searchsorted(cells, wanted), max(len(cells) - 1, 0))
    return index, cells[index] == wanted if len(cells) else np.zeros(len(wanted), dtype=np.bool_)


def resolution_of(cells: Cells) -> int:
    """Return the H3 resolution of cells that are all of one, of which there is at least one."""
    return int(h3.get_resolution(cells[0]))


def names(cells: Cells) -> list[str]:
    """Return the cells as H3 writes them.

    Examples
    --------
    >>> names(locate(np.array([4.6]), np.array([-74.1]), resolution=5))
    ['8566e093fffffff']
    """
    return [h3.int_to_str(cell) for cell in cells]


def from_names(written: Sequence[str]) -> Cells:
    """Return cells that stand as H3 writes them, in the same order."""
    return np.array([h3.str_to_int(name) for name in written], dtype=np.uint64)


def _on_unit_sphere(latitude_deg: Degrees, longitude_deg: Degrees) -> Degrees:
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    (across, up), (east, north) = portable_math.direction(latitude), portable_math.direction(longitude)
    return np.column_stack([across * east, across * north, up])


def _on_even_grid(spread_cells: float) -> float:
    """Return the sum of the kernel's weights on an endless grid of hexagons whose centres are 1 apart."""
    reach = int(np.ceil(6 * spread_cells))
    i, j = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    square = i * i + i * j + j * j
    near = square[square <= np.square(3 * spread_cells)]
    return float(portable_math.exp(-0.5 * near / np.square(spread_cells)).sum())
