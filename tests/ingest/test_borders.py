"""Positions across the theatre's border are refused with a hint; those a rough report may well mean are not."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.ingest_case import BOUNDS, HEADER, INCIDENTS, Case, balance, changed, rejected, rows

from pipeline import params
from pipeline.ingest import stage
from pipeline.ingest.borders import border_of, read_border
from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.reading.chunk import SourceError
from pipeline.params import Theatre
from pipeline.runtime.errors import DeclarationError
from pipeline.simulate.write import write_theatre
from pipeline.storage import store

ROOT = Path(__file__).parents[2]
GEOJSON = Format(kind="geojson")
# two parts: a square of 4 to 8 north, 75 to 71 west with a hole in its middle, and an island to the west of it
MAINLAND = [
    [[-75, 4], [-71, 4], [-71, 8], [-75, 8], [-75, 4]],
    [[-74, 5], [-74, 6], [-73, 6], [-73, 5], [-74, 5]],
]
ISLAND = [[[-80, 5], [-79, 5], [-79, 6], [-80, 6], [-80, 5]]]


def write(folder, *geometries):
    path = folder / "border.geojson"
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def border(tmp_path):
    path = write(tmp_path, {"type": "MultiPolygon", "coordinates": [MAINLAND, ISLAND]})
    return read_border(path, GEOJSON, BOUNDS)


def report(tmp_path, border, latitude, longitude, precision_m=1000):
    position = {**INCIDENTS["position"], "precision_m": precision_m}
    case = Case(tmp_path, changed(INCIDENTS, position=position), border=border)
    return case.ingest(f"{HEADER}1,blast,2,2020-01-31,{latitude},{longitude}\n")


@pytest.mark.parametrize(("latitude", "longitude"), [(4.5, -74.1), (5.5, -79.5), (4.0, -73.0), (5.0, -73.5)])
def test_inside_every_part_and_on_the_line_is_kept(tmp_path, border, latitude, longitude):
    assert len(rows(report(tmp_path, border, latitude, longitude))) == 1


@pytest.mark.parametrize(
    ("latitude", "longitude", "rule", "message"),
    [
        (3.9, -73.0, "across_border", "'3.9, -73.0': lies 11.1 km across the border; expected a position inside"),
        (5.5, -73.5, "across_border", "lies 55.3 km across the border"),  # in the hole: half a degree of longitude
        (6.0, -78.5, "across_border", "lies 55.3 km across the border"),  # between the parts, next to the island
        (-74.1, 4.5, "outside_theatre", "latitude and longitude look swapped"),
        (4.5, 74.1, "outside_theatre", "the sign of the longitude looks flipped"),
        (-4.4, -74.1, "across_border", "the sign of the latitude looks flipped"),  # a hint goes before the distance
        (48.9, 2.4, "outside_theatre", "'48.9, 2.4'; expected -4.5 to 13.5 north"),
        (-7.4, 74.1, "outside_theatre", "both signs look flipped"),
        (-5.5, -73.5, "outside_theatre", "'-5.5, -73.5'; expected"),  # flipped it would lie in the hole
    ],
)
def test_across_the_border_is_refused_with_the_likely_cause(tmp_path, border, latitude, longitude, rule, message):
    staged = report(tmp_path, border, latitude, longitude)
    (row,) = rejected(staged)
    assert balance(staged) == (1, 1)
    assert (row["rule"], row["column"]) == (rule, "lat, lon")
    assert message in row["message"]


@pytest.mark.parametrize(("precision_m", "rules"), [(11_000, ["across_border"]), (11_500, [])])
def test_a_position_is_across_only_by_more_than_its_precision(tmp_path, border, precision_m, rules):
    assert [row["rule"] for row in rejected(report(tmp_path, border, 3.9, -73.0, precision_m))] == rules


def test_the_distance_is_that_on_the_ground(border):
    latitude, longitude = np.array([3.5, 7.0, 5.5, 4.5]), np.array([-73.0, -70.0, -78.0, -74.1])
    # a degree along the meridian is 111.195 km, along a parallel as much times the cosine of its latitude
    expected_km = [0.5 * 111.195, 111.195 * np.cos(np.radians(7.0)), 111.195 * np.cos(np.radians(5.5)), 0.0]
    np.testing.assert_allclose(border.distance_m(latitude, longitude) / 1000, expected_km, rtol=1e-3)


def test_several_threads_may_use_it_at_once(border):
    random = np.random.default_rng(1)
    points = [(random.uniform(-4, 13, 20_000), random.uniform(-81, -67, 20_000)) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda point: border.contains(*point), points))
    for (latitude, longitude), inside in zip(points, together, strict=True):
        main = (abs(latitude - 6) <= 2) & (abs(longitude + 73) <= 2)
        hole = (abs(latitude - 5.5) < 0.5) & (abs(longitude + 73.5) < 0.5)
        island = (abs(latitude - 5.5) <= 0.5) & (abs(longitude + 79.5) <= 0.5)
        assert (inside == ((main & ~hole) | island)).all()


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"type": "LineString", "coordinates": MAINLAND[0]}, "feature 1: geometry is LineString; expected Polygon"),
        (None, "feature 1: geometry is None"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}, "Self-intersection"),
        ({"type": "Polygon", "coordinates": [[[0, 0], ["x", 1]]]}, "feature 1: not a Polygon"),
        ({"type": "Polygon", "coordinates": [[[y, x] for x, y in MAINLAND[0]]]}, "with the longitude first"),
    ],
)
def test_a_border_that_encloses_nothing_here_is_refused(tmp_path, geometry, message):
    with pytest.raises(SourceError, match=message):
        read_border(write(tmp_path, geometry), GEOJSON, BOUNDS)


def test_a_missing_file_and_an_empty_one_are_errors_with_the_reason(tmp_path):
    with pytest.raises(SourceError, match=r"run python -m pipeline\.acquire first"):
        read_border(tmp_path / "no.geojson", GEOJSON, BOUNDS)
    with pytest.raises(SourceError, match="no features"):
        read_border(write(tmp_path), GEOJSON, BOUNDS)


def test_the_border_is_a_source_of_places_from_geojson(tmp_path):
    (tmp_path / "edge.yaml").write_text(yaml.safe_dump(INCIDENTS))
    theatre = Theatre(bounds=BOUNDS, h3_resolution=5, within_km=30, border="edge")
    with pytest.raises(DeclarationError, match=r"edge\.yaml: table incidents, format\.kind csv; expected places"):
        border_of(theatre, sources=tmp_path, raw=tmp_path)


def test_another_border_reads_the_reports_again(tmp_path, border):
    input_digest = report(tmp_path, border, 4.5, -74.1).input_digest()
    smaller = write(tmp_path, {"type": "Polygon", "coordinates": ISLAND})
    staged = report(tmp_path, read_border(smaller, GEOJSON, BOUNDS), 4.5, -74.1)
    assert staged.input_digest() != input_digest
    assert [row["rule"] for row in rejected(staged)] == ["across_border"]


def test_of_the_simulated_reports_those_put_across_the_border_are_refused_and_no_other(tmp_path):
    settings = params.load(ROOT / "params.yaml")
    size = dataclasses.replace(settings.simulate, size="small")
    write_theatre(size, settings.dataset("simulated"), raw=tmp_path / "raw", truth=tmp_path / "truth")
    done = stage.ingest(
        "simulated", settings, sources=ROOT / "data/sources", raw=tmp_path / "raw", staging=tmp_path / "staging"
    )
    planted = store.read_table(tmp_path / "truth/faults.parquet").to_pylist()
    across = {(row["raw_file"], row["raw_row"]) for row in planted if row["fault"] == "across_border"}
    every = [row for staged in done.values() for row in rejected(staged)]
    messages = {(row["raw_file"], row["raw_row"]): row["message"] for row in every if row["rule"] == "across_border"}
    assert set(messages) == across
    assert len({file for file, _ in across}) == 3
    assert all("km across the border" in message for message in messages.values())
