"""Features of the area model: nothing but what was known at the cutoff, against sums done by hand."""

import math
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pytest
from support.area_case import (
    ADMIRALTY,
    CENTRE,
    LABEL,
    TASK,
    THEATRE,
    day,
    incident,
    incidents,
    observations,
    places,
    rows_of,
    settlement,
    value,
)

from pipeline.features import hawkes
from pipeline.features.admiralty import trust
from pipeline.features.theatre import cells_of
from pipeline.runtime.errors import StageError
from pipeline.storage import records

NEIGHBOUR = sorted(h3.grid_ring(CENTRE, 1))[0]
CUTOFF = "2020-07-15"


def features(rows, until: str) -> pa.Table:
    """Return the features of the rows whose cutoff lies at or before a day."""
    subset = rows.table.filter(
        pa.compute.less_equal(rows.table["cutoff"], pa.scalar(day(until), pa.timestamp("us", "UTC")))
    )
    return subset.select(["cutoff", "cell", *(feature.name for feature in rows.features)])


def test_a_row_known_after_the_cutoff_changes_no_feature() -> None:
    before = [incident("a", "2020-05-01"), incident("b", "2020-06-01", cell=NEIGHBOUR)]
    without = rows_of(incidents(*before), seen=observations())
    # it happened long before the cutoff, and became known a moment after it
    late = incident("late", "2020-05-05", known=CUTOFF)
    late["available_at"] += timedelta(microseconds=1)
    with_late = rows_of(incidents(*before, late))
    assert features(with_late, CUTOFF).equals(features(without, CUTOFF))
    assert not features(with_late, "2020-07-29").equals(features(without, "2020-07-29"))


def test_a_row_known_exactly_at_the_cutoff_counts() -> None:
    rows = rows_of(incidents(incident("a", "2020-07-01", known=CUTOFF)))
    assert value(rows, "label_log1p_last28d", CUTOFF) == pytest.approx(math.log1p(1))
    assert value(rows, "label_log1p_per_year_ring0", CUTOFF) == pytest.approx(math.log1p(1))
    assert value(rows, "label_log1p_days_since_last", CUTOFF) == pytest.approx(math.log1p(13.5))


def test_an_event_of_the_test_chooses_no_cell() -> None:
    far = h3.latlng_to_cell(8.0, -72.0, 5)
    known = rows_of(incidents(incident("a", "2020-12-01", cell=far)))
    later = rows_of(incidents(incident("a", "2021-01-02", cell=far)))
    assert far in known.table["cell"].to_pylist()
    assert far not in later.table["cell"].to_pylist()
    assert later.counts["outside_theatre"] == 1


def test_the_theatre_is_the_cells_near_an_inhabited_place() -> None:
    latitude, longitude = h3.cell_to_latlng(CENTRE)
    cells = cells_of(places(), incidents(), THEATRE, moment=day("2021-01-01"))
    disk = h3.grid_disk(CENTRE, 6)
    near = [c for c in disk if h3.great_circle_distance((latitude, longitude), h3.cell_to_latlng(c), unit="km") <= 30]
    assert sorted(h3.int_to_str(int(cell)) for cell in cells) == sorted(near)


def test_no_place_and_no_incident_is_refused() -> None:
    with pytest.raises(StageError, match="no cells"):
        cells_of(places(settlement(kind="river")), incidents(), THEATRE, moment=day("2021-01-01"))


def test_a_decayed_count_is_the_sum_done_by_hand() -> None:
    rows = rows_of(
        incidents(
            incident("a", "2020-05-01"),
            incident("b", "2020-06-15", victim_count=3.0),
            incident("c", "2020-06-15", cell=NEIGHBOUR),
            incident("d", "2020-06-15", hazard="uxo"),
        )
    )
    # a day-long period counts from its middle; the history since 2020-01-01 holds part of an endless one
    ages = {name: (day(CUTOFF) - day(at)).days - 0.5 for name, at in (("a", "2020-05-01"), ("b", "2020-06-15"))}
    history = (day(CUTOFF) - day("2020-01-01")).days
    for half_life in (14, 365):
        endless = 1 - 2 ** (-history / half_life)
        own = (2 ** (-ages["a"] / half_life) + 2 ** (-ages["b"] / half_life)) / endless
        ring = 2 ** (-ages["b"] / half_life) / endless
        assert value(rows, f"label_log1p_decay{half_life}d_ring0", CUTOFF) == pytest.approx(math.log1p(own), rel=1e-6)
        assert value(rows, f"label_log1p_decay{half_life}d_ring1", CUTOFF) == pytest.approx(math.log1p(ring), rel=1e-6)
        assert value(rows, f"victim_log1p_decay{half_life}d_ring0", CUTOFF) == pytest.approx(
            math.log1p(3 * ring), rel=1e-6
        )
        assert value(rows, f"label_log1p_decay{half_life}d_theatre", CUTOFF) == pytest.approx(
            math.log1p(own + ring), rel=1e-6
        )


def test_a_superseded_version_counts_until_it_is_replaced() -> None:
    first = incident("a", "2020-06-01", superseded_at=day("2020-07-20"))
    moved = incident("a", "2020-06-01", cell=NEIGHBOUR, known="2020-07-20")
    rows = rows_of(incidents(first, moved))
    name = "label_log1p_per_year_ring0"
    assert value(rows, name, CUTOFF) > 0
    assert value(rows, name, CUTOFF, NEIGHBOUR) == 0
    assert value(rows, name, "2020-07-29") == 0
    assert value(rows, name, "2020-07-29", NEIGHBOUR) == pytest.approx(math.log1p(1))  # in the first year: one a year
    since = "label_log1p_days_since_last"
    assert value(rows, since, "2020-07-29") == pytest.approx(math.log1p((day("2020-07-29") - day("2020-01-01")).days))
    assert value(rows, since, "2020-07-29", NEIGHBOUR) == pytest.approx(math.log1p(57.5))


def test_a_withdrawn_report_counts_no_more_and_is_no_label() -> None:
    rows = rows_of(incidents(incident("a", "2020-07-20", superseded_at=day("2020-08-20"))))
    assert value(rows, "label", CUTOFF) == 0
    assert value(rows, "label_log1p_last28d", "2020-07-29") > 0
    assert value(rows, "label_log1p_decay14d_ring0", "2020-08-26") == 0


def test_a_label_is_an_event_of_the_days_from_the_cutoff_to_the_horizon() -> None:
    cutoff = day(CUTOFF)
    for offset_days, expected in ((-1, 0), (0, 1), (1, 1), (27, 1), (28, 0)):
        occurred = (cutoff + timedelta(days=offset_days)).date().isoformat()
        assert value(rows_of(incidents(incident("a", occurred))), "label", CUTOFF) == expected, offset_days


def test_only_events_of_the_label_dated_to_the_day_are_labels() -> None:
    for change in ({"hazard": "unknown"}, {"event_type": "seizure"}, {"occurred_precision": "month"}):
        rows = rows_of(incidents(incident("a", "2020-07-20", **change)))
        assert value(rows, "label", CUTOFF) == 0, change
    assert rows_of(incidents(incident("a", "2020-07-20", occurred_precision="week"))).counts["date_not_to_the_day"] == 1


def test_a_label_of_one_source_stands_whoever_reported_last() -> None:
    task = replace(TASK, label=replace(LABEL, sources=["monitor"]))
    first = incident("a", "2020-07-20", source_id="monitor", superseded_at=day("2020-08-01"))
    merged = incident("a", "2020-07-20", source_id="command", known="2020-08-01")
    assert value(rows_of(incidents(first, merged), task=task), "label", CUTOFF) == 1
    of_command = incident("b", "2020-07-20", source_id="command")
    assert value(rows_of(incidents(of_command), task=task), "label", CUTOFF) == 0


def test_another_partners_report_is_the_label_only_from_when_a_linked_one_of_the_labels_source_was_known() -> None:
    task = replace(TASK, label=replace(LABEL, sources=["monitor"]))
    # the command's report stands all the time; the monitor's is known weeks later, and closed as it comes
    stands = incident("a", "2020-06-01", source_id="command")
    linked = incident("a", "2020-06-01", source_id="monitor", known="2020-07-20", superseded_at=day("2020-07-20"))
    rows = rows_of(incidents(stands, linked), task=task)
    for name in ("label_log1p_decay14d_ring0", "label_log1p_per_year_ring0"):
        assert value(rows, name, CUTOFF) == 0
        assert value(rows, name, "2020-07-29") > 0
    # once: as much as one report of the label's own source, known from the start
    own = rows_of(incidents(incident("a", "2020-06-01", source_id="monitor")), task=task)
    for name in ("label_log1p_decay14d_ring0", "explosion_log1p_decay14d_ring0", "mine_log1p_decay14d_ring0"):
        assert value(rows, name, "2020-07-29") == value(own, name, "2020-07-29") > 0
    assert value(rows, "explosion_log1p_decay14d_ring0", CUTOFF) > 0
    assert rows.counts["label_events"] == 1


def graded(name: str, reliability: str | None, credibility: int | None, occurred: str = "2020-07-20") -> dict[str, Any]:
    return incident(name, occurred, source_reliability=reliability, information_credibility=credibility)


def test_trust_is_the_mean_of_both_codes_and_the_other_ones_where_one_is_missing() -> None:
    rows = incidents(graded("a", "A", 4), graded("b", None, 3), graded("c", "E", None), graded("d", None, None))
    np.testing.assert_allclose(trust(rows, ADMIRALTY), [math.sqrt(0.9 * 0.4), 0.6, 0.2, math.nan])


def test_reports_count_as_far_as_they_are_trusted_and_those_not_judged_apart() -> None:
    rows = rows_of(
        incidents(
            graded("a", "A", 1, "2020-06-01"),
            graded("b", "D", 4, "2020-06-01"),
            graded("c", None, None, "2020-06-01"),
        )
    )
    one = rows_of(incidents(incident("a", "2020-06-01")))
    per_event = math.expm1(value(one, "label_log1p_decay14d_ring0", CUTOFF))
    for channel, events in (("label", 3.0), ("trusted", 0.9 + 0.4), ("unjudged", 1.0)):
        name = f"{channel}_log1p_decay14d_ring0"
        assert value(rows, name, CUTOFF) == pytest.approx(math.log1p(events * per_event), rel=1e-6)
    alike = rows_of(incidents(graded("a", "B", 2), graded("b", "B", 2)))
    assert not [feature for feature in alike.features if feature.name.startswith(("trusted", "unjudged"))]


def test_the_trust_in_a_label_is_the_mean_over_its_judged_events_and_missing_where_there_are_none() -> None:
    reports = incidents(graded("a", "A", 1), graded("b", "D", 4), graded("c", None, None))
    assert value(rows_of(reports), "trust", CUTOFF) == pytest.approx((0.9 + 0.4) / 2)
    assert value(rows_of(reports), "trust", CUTOFF, NEIGHBOUR) is None
    unjudged = rows_of(incidents(graded("c", None, None)))
    assert value(unjudged, "label", CUTOFF) == 1
    assert value(unjudged, "trust", CUTOFF) is None


def test_a_horizon_that_reaches_past_the_data_has_no_label() -> None:
    for horizon, expected in ((14, 0), (28, None)):
        rows = rows_of(incidents(incident("a", "2020-06-01")), task=replace(TASK, horizon_days=horizon))
        assert value(rows, "label", "2021-06-16") == expected
        assert value(rows, "label", "2021-06-30") is None  # a planner can still request a surface of that day


def test_clearance_counts_by_its_area_and_by_no_kind_that_is_not_there() -> None:
    cleared = {**incident("x", "2020-06-15"), "observation_id": "o", "kind": "clearance", "value": 500.0, "unit": "m2"}
    rows = rows_of(incidents(incident("a", "2020-06-01")), seen=observations(cleared))
    endless = 1 - 2 ** (-196 / 14)
    expected = math.log1p(500 * 2 ** (-29.5 / 14) / endless)
    assert value(rows, "clearance_log1p_decay14d_ring0", CUTOFF) == pytest.approx(expected, rel=1e-6)
    assert not [feature for feature in rows.features if feature.name.startswith("patrol")]


def test_the_ground_is_as_known_at_each_cutoff() -> None:
    census = settlement(kind="population", known="2020-07-20", value=1000.0)
    rows = rows_of(incidents(incident("a", "2020-06-01")), ground=places(settlement(), census))
    assert math.isnan(value(rows, "population_log1p", CUTOFF))
    assert value(rows, "population_log1p", "2020-07-29") == pytest.approx(math.log1p(1000))
    assert value(rows, "settlement_distance_m", CUTOFF) == pytest.approx(0, abs=1)
    apart = h3.great_circle_distance(h3.cell_to_latlng(CENTRE), h3.cell_to_latlng(NEIGHBOUR), unit="m")
    assert value(rows, "settlement_distance_m", CUTOFF, NEIGHBOUR) == pytest.approx(apart, rel=1e-3)


def test_every_feature_is_float32_described_and_finite_where_the_baseline_reads_it() -> None:
    rows = rows_of(incidents(incident("a", "2020-06-01")))
    names = [feature.name for feature in rows.features]
    assert len(set(names)) == len(names)
    assert rows.table.column_names == ["cutoff", "cell", "label", "trust", "reported_by", *names]
    for name in names:
        assert rows.table[name].type == pa.float32()
    linear = [feature.name for feature in rows.features if feature.linear]
    for name in linear:
        assert np.isfinite(rows.table[name].to_numpy()).all(), name
    assert linear == ["hawkes_log_events_per_day"]


def test_the_catalogue_has_what_a_name_shows() -> None:
    cleared = {**incident("x", "2020-06-15"), "observation_id": "o", "kind": "clearance", "value": 500.0, "unit": "m2"}
    rows = rows_of(incidents(incident("a", "2020-06-01")), seen=observations(cleared))
    by_name = {feature.name: feature for feature in rows.features}
    entry = by_name["clearance_log1p_decay14d_ring1"]
    assert (entry.group, entry.statistic, entry.half_life_days, entry.ring) == ("clearance", "decayed", 14.0, 1)
    assert {feature.group for feature in rows.features if feature.half_life_days == 365.0} >= {"label", "density"}
    for feature in rows.features:
        counted = re.search(r"_decay([\d.]+)d", feature.name)
        assert feature.half_life_days == (float(counted[1]) if counted else None), feature.name
        ring = re.search(r"_ring(\d+)$", feature.name)
        assert feature.ring == (int(ring[1]) if ring else None), feature.name


def test_the_process_that_is_saved_gives_the_column_again(tmp_path: Path) -> None:
    days = [f"2020-{month:02}-{day:02}" for month in range(1, 13) for day in (3, 14, 25)]
    rows = rows_of(
        incidents(*(incident(f"i{n}", at, cell=[CENTRE, NEIGHBOUR][n % 3 == 0]) for n, at in enumerate(days)))
    )
    assert sum(kernel.weight > 0 for kernel in rows.process.kernels) > 0
    records.write(rows.process, tmp_path / "process.json")
    saved = records.read(tmp_path / "process.json", hawkes.Process)
    assert saved == rows.process
    of_half_life = {(kernel.spread_cells, kernel.half_life_days) for kernel in saved.kernels}
    assert of_half_life == {(spread, days) for spread in (None, 1.0) for days in (14.0, 56.0, None)}


def test_the_order_of_the_rows_of_the_tables_changes_nothing() -> None:
    rows = [incident(f"i{n}", f"2020-0{1 + n % 6}-1{n % 9}", cell=[CENTRE, NEIGHBOUR][n % 2]) for n in range(12)]
    assert rows_of(incidents(*rows)).table.equals(rows_of(incidents(*rows[::-1])).table)
