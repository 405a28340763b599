import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mgrs import MGRS
from support.ingest_case import GOOD, HEADER, INCIDENTS, Case, balance, changed, rejected, rows

from pipeline.ingest.rules import mgrs
from pipeline.ingest.rules.gazetteer import Gazetteer


def only_refusal(staged):
    (row,) = rejected(staged)
    assert balance(staged) == (1, 1)
    return row


def test_a_good_row_becomes_an_incident_with_both_clocks_and_its_provenance(tmp_path):
    (row,) = rows(Case(tmp_path, INCIDENTS).ingest(HEADER + GOOD))
    assert row == {
        "incident_id": "case:1",
        "source_id": "case",
        "record_id": "1",
        "occurred_at": datetime(2020, 1, 31, tzinfo=UTC),
        "occurred_precision": "day",
        "available_at": datetime(2020, 2, 2, tzinfo=UTC),
        "superseded_at": None,
        "latitude_deg": 4.5,
        "longitude_deg": -74.1,
        "location_precision_m": 1000.0,
        "event_type": "explosion",
        "hazard": "mine",
        "victim_count": 2.0,
        "source_reliability": None,
        "information_credibility": None,
        "originator": "X",
        "releasable_to": ["ALL"],
        "tlp": "CLEAR",
        "simulated": False,
        "raw_file": "in.csv",
        "raw_row": 1,
    }


@pytest.mark.parametrize(
    ("line", "rule", "column", "message"),
    [
        ("1,bang,2,2020-01-31,4.5,-74.1", "unmapped_value", "type", "no map for 'bang'"),
        (",blast,2,2020-01-31,4.5,-74.1", "missing_value", "id", "key is missing"),
        ("1,,2,2020-01-31,4.5,-74.1", "missing_value", "type", "event_type is missing"),
        ("1,blast,2,,4.5,-74.1", "missing_value", "date", "occurred_at is missing"),
        ("1,blast,2,2020-02-30,4.5,-74.1", "date", "date", "'2020-02-30'; expected a date that is"),
        ("1,blast,two,2020-01-31,4.5,-74.1", "number", "victims", "victim_count = 'two'; expected a number"),
        ("1,blast,1e999,2020-01-31,4.5,-74.1", "number", "victims", "expected a number"),
        ("1,blast,nan,2020-01-31,4.5,-74.1", "number", "victims", "expected a number"),
        ('1,blast,"2,5",2020-01-31,4.5,-74.1', "number", "victims", "decimal '.'"),
        ("1,blast,-2,2020-01-31,4.5,-74.1", "range", "victims", "expected 0 to 100000"),
        ("1,=1+1,2,2020-01-31,4.5,-74.1", "unmapped_value", "type", "'=1+1'"),
        ("1,blast,2,2020-01-31,,-74.1", "missing_value", "lat", "latitude_deg is missing"),
        ("1,blast,2,2020-01-31,north,-74.1", "number", "lat", "latitude_deg = 'north'"),
        ("1,blast,2,2020-01-31,0,0", "zero_position", "lat, lon", "stands for a position that is not known"),
        ("1,blast,2,2020-01-31,-74.1,4.5", "outside_theatre", "lat, lon", "latitude and longitude look swapped"),
        ("1,blast,2,2020-01-31,4.5,74.1", "outside_theatre", "lat, lon", "sign of the longitude looks flipped"),
        ("1,blast,2,2020-01-31,-9.5,-74.1", "outside_theatre", "lat, lon", "sign of the latitude looks flipped"),
        ("1,blast,2,2020-01-31,91.2,-74.1", "position_range", "lat, lon", "expected -90 to 90"),
        ("1,blast,2,2020-01-31,48.9,2.4", "outside_theatre", "lat, lon", "expected -4.5 to 13.5 north"),
        ("1,blast,2,2020-01-31,4.5", "column_count", None, "5 values; expected 6"),
        ("1,bl\0ast,2,2020-01-31,4.5,-74.1", "nul_byte", "type", "NUL"),
    ],
)
def test_a_bad_row_is_refused_whole_with_place_value_and_hint(tmp_path, line, rule, column, message):
    row = only_refusal(Case(tmp_path, INCIDENTS).ingest(HEADER + line + "\n"))
    assert (row["rule"], row["column"], row["raw_row"]) == (rule, column, 1)
    assert row["message"].startswith("in.csv row 1: ")
    assert message in row["message"]
    if column:
        assert list(json.loads(row["row"])) == HEADER.strip().split(",")


def test_bytes_of_another_encoding_are_refused_and_kept_to_the_byte(tmp_path):
    row = only_refusal(
        Case(tmp_path, INCIDENTS).ingest(HEADER.encode() + "1,explosión,2,2020-01-31,4.5,-74.1\n".encode("latin-1"))
    )
    assert row["rule"] == "encoding"
    assert json.loads(row["row"])["type"].encode("utf-8", "surrogateescape") == "explosión".encode("latin-1")


def test_excluded_rows_are_in_the_quarantine_with_the_reason(tmp_path):
    mapping = changed(INCIDENTS, exclude=[{"column": "type", "values": ["find"], "because": "no attack"}])
    staged = Case(tmp_path, mapping).ingest(HEADER + GOOD + "2,find,,2020-01-31,4.5,-74.1\n")
    assert [row["message"] for row in rejected(staged)] == ["in.csv row 2: 'find' is excluded: no attack"]
    assert balance(staged) == (2, 2)


def test_nothing_happens_after_the_file_was_cut_or_after_its_own_report(tmp_path):
    mapping = changed(INCIDENTS, last_day="2020-01-31")
    staged = Case(tmp_path, mapping).ingest(HEADER + GOOD + GOOD.replace("01-31", "02-01"))
    assert [row["rule"] for row in rejected(staged)] == ["future_date"]
    mapping = changed(INCIDENTS, available_at={"at": {"column": "victims", "formats": ["%Y"]}})
    mapping["fields"] = {name: entry for name, entry in INCIDENTS["fields"].items() if name != "victim_count"}
    staged = Case(tmp_path, mapping).ingest(HEADER + GOOD.replace(",2,", ",2019,").replace("01-31", "02-01"))
    assert [row["rule"] for row in rejected(staged)] == ["future_date"]


def test_a_stated_delay_counts_from_the_end_of_the_month(tmp_path):
    mapping = changed(
        INCIDENTS,
        occurred_at={"column": "date", "formats": ["%Y-%m"], "precision": "month", "zone": "America/Bogota"},
        available_at={"delay_days": 30},
    )
    (row,) = rows(Case(tmp_path, mapping).ingest(HEADER + GOOD.replace("2020-01-31", "2020-01")))
    assert row["occurred_at"] == datetime(2020, 1, 1, 5, tzinfo=UTC)
    assert row["available_at"] == datetime(2020, 3, 2, 5, tzinfo=UTC)


def test_decimal_commas_and_units_are_the_mappings_matter(tmp_path):
    mapping = changed(INCIDENTS, format={"kind": "csv", "delimiter": ";", "decimal": ","})
    mapping["fields"] = {**INCIDENTS["fields"], "victim_count": {"column": "victims", "multiply_by": 10}}
    content = (HEADER + GOOD).replace(",", ";").replace(".", ",").replace(";2;", ";0,2;")
    (row,) = rows(Case(tmp_path, mapping).ingest(content))
    assert (row["latitude_deg"], row["longitude_deg"], row["victim_count"]) == (4.5, -74.1, 2.0)
    staged = Case(tmp_path, mapping).ingest(content.replace("0,2", "1.000"))
    assert [row["rule"] for row in rejected(staged)] == ["number"]


def test_f_and_6_are_missing_and_not_middling(tmp_path):
    mapping = changed(INCIDENTS)
    mapping["fields"] = {
        **INCIDENTS["fields"],
        "source_reliability": {"column": "type", "values": {"blast": "F", "find": "C"}},
        "information_credibility": {"column": "victims"},
    }
    content = HEADER + GOOD.replace(",2,", ",6,") + GOOD.replace("1,blast", "2,find") + GOOD.replace(",2,", ",7,")
    staged = Case(tmp_path, mapping).ingest(content)
    made = [(row["source_reliability"], row["information_credibility"]) for row in rows(staged)]
    assert made == [(None, None), ("C", 2)]
    assert [row["rule"] for row in rejected(staged)] == ["range"]


def test_a_value_map_over_two_columns_takes_the_exact_pair_before_the_open_one(tmp_path):
    mapping = changed(INCIDENTS)
    values = {"blast | *": "unknown", "blast | 2": "ied", "* | 3": "uxo"}
    mapping["fields"] = {**INCIDENTS["fields"], "hazard": {"columns": ["type", "victims"], "values": values}}
    lines = ["1,blast,2", "2,blast,9", "3,find,3", "4,find,4"]
    staged = Case(tmp_path, mapping).ingest(HEADER + "".join(f"{line},2020-01-31,4.5,-74.1\n" for line in lines))
    assert [row["hazard"] for row in rows(staged)] == ["ied", "unknown", "uxo"]
    assert [row["value"] for row in rejected(staged)] == ["find | 4"]


def test_a_missing_value_is_a_key_of_a_value_map_where_the_map_has_it(tmp_path):
    mapping = changed(INCIDENTS)
    content = HEADER + "1,blast,,2020-01-31,4.5,-74.1\n2,blast,3,2020-01-31,4.5,-74.1\n"
    for hazard, made in (
        ({"column": "victims", "values": {"": "unknown", "3": "uxo"}}, ["unknown", "uxo"]),
        ({"columns": ["type", "victims"], "values": {"blast | ": "ied", "* | *": "uxo"}}, ["ied", "uxo"]),
        ({"column": "victims", "values": {"3": "uxo"}}, ["uxo"]),
    ):
        mapping["fields"] = {"event_type": INCIDENTS["fields"]["event_type"], "hazard": hazard}
        staged = Case(tmp_path, mapping).ingest(content)
        assert [row["hazard"] for row in rows(staged)] == made
    assert [row["rule"] for row in rejected(staged)] == ["missing_value"]


def test_a_place_code_is_looked_up_in_the_gazetteer(tmp_path):
    position = {"place": {"column": "lat", "source": "towns"}, "precision_m": 5000}
    towns = Gazetteer(pa.array(["05001", "05002"]), np.array([6.2, 5.7]), np.array([-75.5, -75.4]))
    case = Case(tmp_path, changed(INCIDENTS, position=position), {"towns": towns})
    staged = case.ingest(HEADER + GOOD.replace("4.5", "05002") + GOOD.replace("4.5", "99999"))
    assert [(row["latitude_deg"], row["longitude_deg"]) for row in rows(staged)] == [(5.7, -75.4)]
    assert [row["rule"] for row in rejected(staged)] == ["unknown_place"]


def test_mgrs_is_read_and_nonsense_refused(tmp_path):
    mapping = changed(INCIDENTS, position={"mgrs": "lat", "precision_m": 100})
    staged = Case(tmp_path, mapping).ingest(HEADER + GOOD.replace("4.5", "18N XL 06") + GOOD.replace("4.5", "99ZZZ1"))
    (row,) = rows(staged)
    assert (round(row["latitude_deg"], 3), round(row["longitude_deg"], 3)) == (5.111, -74.053)
    assert [row["rule"] for row in rejected(staged)] == ["mgrs"]


@pytest.mark.parametrize(
    ("reference", "latitude", "longitude"),
    [
        # corners and landmarks whose grid references are published
        ("31U DQ 48251 11932", 48.85825, 2.29450),  # Eiffel Tower
        ("18S UJ 23487 06483", 38.88948, -77.03524),  # Washington Monument
        ("56H LH 34873 52288", -33.85678, 151.21529),  # Sydney Opera House
    ],
)
def test_mgrs_agrees_with_known_places(reference, latitude, longitude):
    degrees = mgrs.to_degrees(pa.array([reference]))
    assert np.allclose([degrees[0][0], degrees[1][0]], [latitude, longitude], atol=2e-4)


def on_the_sphere(latitude, longitude):
    return np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])


@settings(max_examples=100, deadline=None)
@given(st.floats(-89.9, 89.9), st.floats(-180, 179.999), st.integers(0, 5))
def test_the_square_of_an_mgrs_reference_lies_within_its_radius(latitude, longitude, digits):
    reference = MGRS().toMGRS(latitude, longitude, MGRSPrecision=digits)
    (lat,), (lon,), (reach_m,) = mgrs.to_degrees(pa.array([reference]))
    if np.isnan(lat):
        return  # refused by name: GEOTRANS does not place the centre of every square that the edge of a zone cuts
    side_m = 10 ** (5 - digits)
    assert side_m / 2**0.5 <= reach_m <= 1.01 * side_m / 2**0.5
    place, centre = (on_the_sphere(*np.radians(pair)) for pair in ((latitude, longitude), (lat, lon)))
    assert 6_371_009 * np.linalg.norm(place - centre) <= 1.01 * reach_m + 0.01  # a sphere is right to one in a hundred


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"\A[0-9]{0,3}[A-Za-z]{0,4}[0-9]{0,12}\Z")))
def test_any_text_is_an_mgrs_reference_or_none(text):
    (latitude,), (longitude,), (reach_m,) = mgrs.to_degrees(pa.array([text]))
    assert np.isnan([latitude, longitude, reach_m]).all() or (abs(latitude) <= 90 and 0 < reach_m < 72_000)


def test_a_rough_grid_reference_is_as_rough_as_its_square_and_a_rougher_statement_stands(tmp_path):
    mapping = changed(INCIDENTS, key=[], position={"mgrs": "lat", "precision_m": 100})
    lines = [GOOD.replace("4.5", text) for text in ("18NXL", "18NXL06", "18NXL0060", "18NXL0000060000")]
    staged = Case(tmp_path, mapping).ingest(HEADER + "".join(lines))
    stated = [row["location_precision_m"] for row in rows(staged)]
    assert stated == pytest.approx([70710.7, 7071.07, 707.107, 100], rel=1e-3)
    assert all(metres >= 10**size / 2**0.5 for metres, size in zip(stated, (5, 4, 3), strict=False))


def test_a_detection_keeps_the_measured_values_and_lacks_the_others(tmp_path):
    mapping = {
        "file": "in.csv",
        "about": "made by a test",
        "table": "detections",
        "format": {"kind": "csv", "missing": ["NA"]},
        "fields": {
            "sensor_id": {"constant": "s"},
            "modality": {"constant": "magnetometer"},
            "voltage": {"column": "v"},
            "depth": {"column": "d", "multiply_by": 0.01},
            "outcome": {"column": "o", "values": {"1": "hazard", "0": "clutter"}},
            "group_id": {"column": "g"},
        },
        "observed_at": {"column": "t", "formats": ["unix_s"], "precision": "minute"},
        "available_at": {"delay_days": 0},
        "outcome_at": {"at": {"column": "u", "formats": ["unix_s"]}},
        "marking": INCIDENTS["marking"],
    }
    lines = ["0.5,20,1,lane,100,200", "0.5,NA,0,lane,100,", "1.5,20,1,lane,100,200", "NA,20,1,lane,100,200"]
    staged = Case(tmp_path, mapping).ingest("v,d,o,g,t,u\n" + "\n".join(lines) + "\n")
    made = [(row["detection_id"], row["voltage"], row["depth"], row["outcome_at"] is None) for row in rows(staged)]
    assert made == [("case:row 1", 0.5, pytest.approx(0.2), False), ("case:row 2", 0.5, None, True)]
    assert [row["rule"] for row in rejected(staged)] == ["range", "missing_value"]
