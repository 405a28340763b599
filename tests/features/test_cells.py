"""Cells against H3's own answers, one cell at a time."""

import h3
import numpy as np
import pytest

from pipeline.model import cells


def test_ring_sums_are_the_sums_over_each_ring() -> None:
    centre = h3.latlng_to_cell(4.6, -74.1, 5)
    subset = np.array(sorted(h3.str_to_int(cell) for cell in h3.grid_disk(centre, 3)[:-5]), dtype=np.uint64)
    values = np.random.default_rng(7).random((len(subset), 2))
    for k, ring in enumerate(cells.ring_matrices(subset, 2)):
        expected = np.zeros_like(values)
        for i, cell in enumerate(subset):
            for neighbour in h3.grid_ring(h3.int_to_str(int(cell)), k):
                j = np.flatnonzero(subset == h3.str_to_int(neighbour))
                expected[i] += values[j].sum(axis=0)
        np.testing.assert_allclose(ring @ values, expected)


def test_ring_sums_around_a_pentagon() -> None:
    pentagon = h3.get_pentagons(5)[0]
    subset = np.array(sorted(h3.str_to_int(cell) for cell in h3.grid_disk(pentagon, 1)), dtype=np.uint64)
    at = int(np.flatnonzero(subset == h3.str_to_int(pentagon))[0])
    assert [(ring @ np.ones(len(subset)))[at] for ring in cells.ring_matrices(subset, 2)] == [1, 5, 0]


@pytest.mark.parametrize("place", [(4.6, -74.1), (0.0, 179.99), (84.0, 10.0)])
def test_within_are_the_cells_whose_centre_is_near(place: tuple[float, float]) -> None:
    result = cells.within(np.array([place[0]]), np.array([place[1]]), distance_m=40_000.0, resolution=5)
    near = {
        cell
        for cell in h3.grid_disk(h3.latlng_to_cell(*place, 5), 12)
        if h3.great_circle_distance(place, h3.cell_to_latlng(cell), unit="m") <= 40_000
    }
    assert set(cells.names(result)) == near | {h3.latlng_to_cell(*place, 5)}


def test_nearest_is_the_great_circle_distance() -> None:
    origin, targets = (np.array([4.6]), np.array([-74.1])), (np.array([6.2, 10.0]), np.array([-75.6, -60.0]))
    expected = h3.great_circle_distance((4.6, -74.1), (6.2, -75.6), unit="m")
    assert cells.nearest_m(*origin, *targets)[0] == pytest.approx(expected, rel=1e-3)
    assert cells.nearest_m(*origin, np.empty(0), np.empty(0))[0] == np.inf


def test_an_outline_is_h3s_and_one_across_the_antimeridian_stays_in_one_piece() -> None:
    inland, across = h3.latlng_to_cell(4.6, -74.1, 5), h3.latlng_to_cell(0.0, 180.0, 5)
    first, second = cells.outlines([inland, across])
    assert first[:, ::-1].tolist() == [list(corner) for corner in h3.cell_to_boundary(inland)]
    assert np.ptp(second[:, 0]) < 1
