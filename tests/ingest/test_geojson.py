"""GeoJSON: each feature or vertex is mapped or refused by name, and so is a file in another reference system."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ingest_case import INCIDENTS, Case, balance, changed, rejected, rows

from pipeline.ingest.commands.draft import draft
from pipeline.ingest.commands.retry import retry
from pipeline.ingest.reading.chunk import SourceError

PROPERTIES = {"type": "blast", "victims": 2, "date": "2020-01-31"}
POINT = {"type": "Point", "coordinates": [-74.1, 4.5]}
RING = [[-74.1, 4.5], [-74.0, 4.5], [-74.0, 4.6], [-74.1, 4.5]]
GEOJSON = changed(INCIDENTS, format={"kind": "geojson"}, key=[], position={"geometry": "point", "precision_m": 1000})
VERTICES = changed(GEOJSON, format={"kind": "geojson", "points": "vertices"})


def collection(*geometries, **members):
    features = [{"type": "Feature", "properties": PROPERTIES, "geometry": geometry} for geometry in geometries]
    return json.dumps({"type": "FeatureCollection", **members, "features": features})


def fates(staged):
    before, after = balance(staged)
    assert before == after
    return [row["raw_row"] for row in rows(staged)], [(row["raw_row"], row["rule"]) for row in rejected(staged)]


@pytest.mark.parametrize("mapping", [GEOJSON, VERTICES])
@pytest.mark.parametrize(
    ("geometry", "rule", "message"),
    [
        (None, "missing_value", "is missing"),
        ({"type": "Point", "coordinates": []}, "missing_value", "is missing"),
        ({"type": "Point", "coordinates": [None, None]}, "missing_value", "is missing"),
        ("POINT (17 45)", "geometry", "the geometry is a text"),
        ([-74.1, 4.5], "geometry", "the geometry is a list"),
        (True, "geometry", "the geometry is a truth value"),
        ({}, "geometry", "the geometry is 'None'"),
        ({"type": ["Point"], "coordinates": [-74.1, 4.5]}, "geometry", "the geometry is"),
        ({"type": "GeometryCollection", "geometries": [POINT]}, "geometry", "'GeometryCollection'"),
        ({"type": "Point", "coordinates": [-74.1, 4.5, 10, 3]}, "geometry", "has 4 numbers"),
        ({"type": "Point", "coordinates": [-74.1]}, "geometry", "has 1 numbers"),
        ({"type": "Point", "coordinates": [[-74.1, 4.5]]}, "geometry", "has 1 numbers"),
        ({"type": "Point", "coordinates": [[-74.1, 4.5], [-74.1, 4.5]]}, "geometry", "no number"),
        ({"type": "Point", "coordinates": [True, 4.5]}, "geometry", "no number"),
        ({"type": "Point", "coordinates": [{"x": 1}, 4.5]}, "geometry", "no number"),
        ({"type": "Point", "coordinates": ["west", 4.5]}, "number", "longitude_deg = 'west'"),
        ({"type": "Point", "coordinates": {"lon": -74.1}}, "geometry", "not nested as those of a Point"),
        ({"type": "Point"}, "geometry", "not nested as those of a Point"),
        ({"type": "MultiPoint", "coordinates": [-74.1, 4.5]}, "geometry", "not nested as those of a MultiPoint"),
        ({**POINT, "crs": {"type": "name", "properties": {"name": "EPSG:3116"}}}, "geometry", "EPSG:3116"),
    ],
)
def test_a_geometry_that_is_no_position_refuses_its_row_and_no_other(tmp_path, mapping, geometry, rule, message):
    case = Case(tmp_path, mapping)
    staged = case.ingest(collection(POINT, geometry, POINT))
    assert fates(staged) == ([1, 3], [(2, rule)])
    assert message in rejected(staged)[0]["message"]
    assert retry(case.source(), staged).accepted == 0


def test_a_polygon_is_no_point_and_its_vertices_are_points(tmp_path):
    area = {"type": "Polygon", "coordinates": [RING]}
    staged = Case(tmp_path, GEOJSON).ingest(collection(area, POINT))
    assert fates(staged) == ([2], [(1, "geometry")])
    assert "a Polygon of 4 positions; expected a Point" in rejected(staged)[0]["message"]
    assert fates(Case(tmp_path, VERTICES).ingest(collection(area, None, POINT))) == (
        [1, 2, 3, 4, 6],
        [(5, "missing_value")],
    )


def test_a_geometry_that_the_mapping_does_not_read_does_no_harm(tmp_path):
    mapping = changed(GEOJSON, position={"latitude": "lat", "longitude": "lon", "precision_m": 1000})
    feature = {"type": "Feature", "properties": {**PROPERTIES, "lat": 4.5, "lon": -74.1}, "geometry": "none"}
    staged = Case(tmp_path, mapping).ingest(json.dumps({"features": [feature]}))
    assert fates(staged) == ([1], [])


def test_a_height_is_left_alone_and_a_single_point_of_several_is_a_point(tmp_path):
    staged = Case(tmp_path, GEOJSON).ingest(
        collection(
            {"type": "Point", "coordinates": [-74.1, 4.5, 2600]}, {"type": "MultiPoint", "coordinates": [[-74.1, 4.5]]}
        )
    )
    assert [(row["latitude_deg"], row["longitude_deg"]) for row in rows(staged)] == [(4.5, -74.1)] * 2


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326", "EPSG:4326"])
def test_a_file_that_declares_wgs84_is_read(tmp_path, name):
    crs = {"type": "name", "properties": {"name": name}}
    assert fates(Case(tmp_path, GEOJSON).ingest(collection(POINT, crs=crs))) == ([1], [])
    assert fates(Case(tmp_path, GEOJSON).ingest(collection(POINT, crs=None))) == ([1], [])


@pytest.mark.parametrize(
    "crs",
    [
        {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3116"}},
        {"type": "name", "properties": {"name": "EPSG:43260"}},
        {"type": "link", "properties": {"href": "crs.prj"}},
        "EPSG:3116",
    ],
)
def test_a_file_that_declares_another_reference_system_anywhere_is_refused(tmp_path, crs):
    first = collection(POINT, crs=crs)
    last = json.dumps({"features": [], "crs": crs})
    for content in (first, last):
        with pytest.raises(SourceError, match=r"in\.csv: crs is .*WGS-84"):
            Case(tmp_path, GEOJSON).ingest(content)


@pytest.mark.parametrize("ending", ["", "}}", "}" + collection(POINT), ', "features": []}', ", 1}", "}\0"])
def test_a_file_with_more_than_the_end_of_one_collection_after_its_features_is_refused(tmp_path, ending):
    with pytest.raises(SourceError, match=r"in\.csv: after the list of features"):
        Case(tmp_path, GEOJSON).ingest('{"features": []' + ending)


def test_the_list_of_features_is_the_collections_own(tmp_path):
    content = collection(POINT, POINT, about={"features": [], "of": '"features": ['})
    assert fates(Case(tmp_path, GEOJSON).ingest(content)) == ([1, 2], [])


def test_a_member_that_is_no_feature_is_refused(tmp_path):
    members = [{"type": "FeatureCollection", "features": []}, POINT, 7, {"type": "Feature", "properties": [1]}]
    staged = Case(tmp_path, GEOJSON).ingest(json.dumps({"features": members}))
    assert fates(staged) == ([], [(n, "not_json") for n in (1, 2, 3, 4)])


def test_properties_nested_beyond_measure_cost_their_row_or_the_file_and_no_more(tmp_path):
    for depth in (100, 480, 900, 990, 5000):
        deep = '{"a":' * depth + "1" + "}" * depth
        feature = f'{{"type": "Feature", "geometry": null, "properties": {deep}}}'
        try:
            staged = Case(tmp_path, GEOJSON).ingest(f'{{"features": [{feature}]}}')
        except SourceError as error:
            assert "in.csv" in str(error)
        else:
            assert balance(staged) == (1, 1)


def test_a_draft_states_that_geometries_are_polygons(tmp_path):
    path = tmp_path / "areas.geojson"
    path.write_text(collection({"type": "Polygon", "coordinates": [RING]}))
    assert "the geometry is a Polygon" in draft(path)


POSITION = st.one_of(
    st.sampled_from(
        [[-74.1, 4.5], [-74.1, 4.5, 2600], [0, 0], [4.5, -74.1], [1], [], [1, 2, 3, 4], ["a", 1], [True, 1]]
    ),
    st.lists(st.one_of(st.none(), st.floats(), st.text(max_size=3)), max_size=4),
)
COORDINATES = st.recursive(POSITION, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
GEOMETRY = st.one_of(
    st.none(),
    st.just(POINT),
    st.text(max_size=4),
    COORDINATES,
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                ["Point", "MultiPoint", "LineString", "Polygon", "MultiPolygon", "Circle", None, 3]
            ),
            "coordinates": COORDINATES,
            "geometries": st.just([POINT]),
            "crs": st.sampled_from([None, "EPSG:4326", {"type": "name", "properties": {"name": "EPSG:4326"}}]),
        },
    ),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(GEOMETRY, max_size=6), st.booleans(), st.binary(max_size=3), st.integers(0, 2000), st.booleans())
def test_every_feature_of_any_garbage_is_kept_or_refused(tmp_path_factory, geometries, vertices, noise, at, damage):
    content = collection(*geometries).encode()
    case = Case(tmp_path_factory.mktemp("features"), VERTICES if vertices else GEOJSON)
    try:
        staged = case.ingest(content[:at] + noise + content[at:] if damage else content)
    except SourceError as error:
        assert "in.csv" in str(error)
        assert damage
        return
    before, after = balance(staged)
    assert before == after
    if not damage:
        assert before >= len(geometries) if vertices else before == len(geometries)
