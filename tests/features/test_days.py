"""Whose day an event belongs to: at every cutoff it is in the history or in what follows, and never in both."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import h3
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from support.area_case import (
    ADMIRALTY,
    CENTRE,
    FEATURES,
    LABEL,
    TASK,
    THEATRE,
    incident,
    incidents,
    observations,
    places,
    rows_of,
)

from pipeline.features import area_risk
from pipeline.features.admiralty import trust
from pipeline.features.events import DAY_US
from pipeline.features.history import decayed_counts
from pipeline.features.labels import label_events, labels
from pipeline.features.reports import incident_events
from pipeline.ingest.rules import timestamps
from pipeline.model.cutoffs import cutoffs_of, labels_until
from pipeline.params import AreaTask
from pipeline.runtime import local_days
from pipeline.runtime.errors import StageError
from pipeline.storage import store
from pipeline.storage.schemas import OCCURRED_PRECISIONS
from pipeline.validation import origins

CELLS = np.array([h3.str_to_int(CENTRE)], dtype=np.uint64)
RESOLUTION = THEATRE.h3_resolution
ZONES = [
    "UTC",
    "Asia/Baghdad",
    "America/Bogota",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Asia/Beirut",  # the clocks go forward at midnight, and back over it
    "America/Havana",  # forward at midnight; back at 1, so that midnight comes twice
    "America/St_Johns",  # until 2011 back at a minute past midnight: the day before comes again
    "Europe/Kyiv",
]
SKIPS_A_DAY = "Pacific/Apia"
"""Has no 30 December 2011."""
CHANGES = [date(2011, 3, 13), date(2011, 3, 27), date(2011, 10, 30), date(2011, 11, 6), date(2011, 12, 30)]
"""Near which the clocks of the zones change."""


def reported(local: datetime, precision: str, zone: str, *, delay: timedelta) -> dict[str, Any]:
    """Return an incident as `ingest` writes one that a partner dates by its own wall clock."""
    us = timestamps.zoned(np.array([local], "datetime64[us]").astype(np.int64), zone)
    code = np.array([OCCURRED_PRECISIONS.index(precision)], np.int8)
    start, _ = timestamps.period(us, code, zone)
    occurred = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(start[0]))
    times = {"occurred_at": occurred, "occurred_precision": precision, "available_at": occurred + delay}
    return {**incident("a", "2011-01-01"), **times}


def days(instants: np.ndarray) -> np.ndarray:
    return instants.astype("datetime64[us]").astype(np.int64) / DAY_US


def sides(row: dict[str, Any], task: AreaTask) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return at each cutoff: whether the event is history, whether it follows, whether it is labelled."""
    rows, at = incidents(row), cutoffs_of(task)
    trusted = trust(rows, ADMIRALTY)
    past = incident_events(rows, LABEL, CELLS, resolution=RESOLUTION, trust=trusted).select("label")
    history = [float(s[0, 0]) for s in decayed_counts(past, days(at), half_lives_days=[np.inf], cells=1)]
    events = label_events(rows, LABEL, CELLS, resolution=RESOLUTION, trust=trusted)
    ever = np.full(len(at), np.inf)
    follows = labels(events, days(at), ends=ever, cells=1, until=np.inf)[:, 0]
    ends = days(labels_until(at, task))
    return np.array(history), follows, labels(events, days(at), ends=ends, cells=1, until=np.inf)[:, 0]


zones = st.sampled_from(ZONES)
near_a_change = st.tuples(st.sampled_from(CHANGES), st.integers(-3, 3)).map(lambda pair: pair[0] + timedelta(pair[1]))
# whole hours often: events and reports that stand exactly at a midnight
clock = st.integers(0, 23).map(lambda hour: timedelta(hours=hour)) | st.integers(0, 1439).map(
    lambda minute: timedelta(minutes=minute)
)
delays = st.sampled_from([0, 1, 12, 24, 48, 240]).map(lambda hours: timedelta(hours=hours)) | st.integers(
    0, 60_000
).map(lambda minutes: timedelta(minutes=minutes))


@settings(max_examples=150, deadline=None)
@given(
    zones | st.just(SKIPS_A_DAY),
    st.none() | zones,
    near_a_change,
    clock,
    st.sampled_from(OCCURRED_PRECISIONS),
    delays,
    st.integers(1, 9),
)
@example("Asia/Baghdad", None, date(2011, 3, 13), timedelta(0), "day", timedelta(0), 7)
@example("Asia/Beirut", None, date(2011, 3, 27), timedelta(0), "day", timedelta(0), 1)
@example("America/Havana", None, date(2011, 11, 6), timedelta(0), "minute", timedelta(0), 1)
@example("America/St_Johns", None, date(2011, 11, 6), timedelta(minutes=30), "minute", timedelta(0), 1)
def test_an_event_is_in_the_history_or_follows_at_every_cutoff_at_which_it_is_known(
    zone: str,
    partners_zone: str | None,
    on: date,
    at: timedelta,
    precision: str,
    delay: timedelta,
    every_days: int,
) -> None:
    local = datetime(on.year, on.month, on.day) + at
    row = reported(local, precision, partners_zone or zone, delay=delay)
    task = replace(
        TASK,
        zone=zone,
        horizon_days=every_days,
        cutoff_every_days=every_days,
        history_from=on - timedelta(days=40),
        train_from=on - timedelta(days=40),
        test_from=on,
        test_until=on + timedelta(days=80),
    )
    cutoffs = cutoffs_of(task)
    history, follows, labelled = sides(row, task)
    known = cutoffs >= np.datetime64(row["available_at"].replace(tzinfo=None), "us")
    assert not history[~known].any()
    if precision in ("minute", "day"):
        np.testing.assert_array_equal(history[known] + follows[known], 1)  # no gap, no overlap
        assert zone == SKIPS_A_DAY or labelled.sum() == 1  # consecutive horizons contain it once
        assert labelled[np.flatnonzero(follows).max()] == 1
    else:
        np.testing.assert_array_equal(history[known], 1)
        assert not follows.any()


@settings(max_examples=80, deadline=None)
@given(zones, near_a_change, delays, st.integers(1, 30), st.integers(1, 9))
def test_an_event_dated_to_the_day_is_labelled_where_its_date_is_one_of_the_horizons(
    zone: str, on: date, delay: timedelta, horizon_days: int, every_days: int
) -> None:
    row = reported(datetime(on.year, on.month, on.day), "day", zone, delay=delay)
    first = on - timedelta(days=40)
    task = replace(
        TASK,
        zone=zone,
        horizon_days=horizon_days,
        cutoff_every_days=every_days,
        history_from=first,
        train_from=first,
        test_from=on,
        test_until=on + timedelta(days=40),
    )
    _, _, labelled = sides(row, task)
    begins = [first + timedelta(days=n * every_days) for n in range(len(labelled))]
    assert labelled.tolist() == [int(day <= on < day + timedelta(days=horizon_days)) for day in begins]


@given(zones, st.dates(date(1990, 1, 1), date(2037, 1, 1)), st.integers(-400, 400))
def test_a_horizon_is_so_many_calendar_days_and_ends_at_a_midnight(zone: str, day: date, count: int) -> None:
    begun = local_days.midnights(np.array([day], "datetime64[D]"), zone)
    end = local_days.later(begun, count, zone)
    assert str(local_days.days_of(end, zone)[0]) == str(day + timedelta(days=count))
    assert str(local_days.days_of(end - np.timedelta64(1, "us"), zone)[0]) < str(day + timedelta(days=count))


def labelled_on(zone: str, offset_days: int, cells: list[str]) -> int:
    """Return how many cells are labelled at a cutoff, each with an event so many days after the cutoff's day."""
    on = datetime(2020, 7, 15) + timedelta(days=offset_days)
    happened = [
        {**reported(on, "day", zone, delay=timedelta(days=2)), "incident_id": cell, **_place(cell)} for cell in cells
    ]
    task = replace(TASK, horizon_days=7, zone=zone)
    rows = area_risk.build(
        incidents(*happened),
        observations(),
        places(),
        theatre=replace(THEATRE, zone=zone),
        task=task,
        features=FEATURES,
        admiralty=ADMIRALTY,
    ).table
    cutoff = local_days.midnight(date(2020, 7, 15), zone)
    at_cutoff = rows.filter(pa.compute.equal(rows["cutoff"], pa.scalar(cutoff, pa.timestamp("us", "UTC"))))
    assert at_cutoff.num_rows > 0
    return int(at_cutoff["label"].to_numpy().sum())


def _place(cell: str) -> dict[str, float]:
    latitude, longitude = h3.cell_to_latlng(cell)
    return {"latitude_deg": latitude, "longitude_deg": longitude}


@pytest.mark.parametrize("zone", ["Asia/Baghdad", "UTC", "America/Bogota"])
def test_the_next_seven_days_are_the_cutoffs_own_and_the_six_after_it(zone: str) -> None:
    cells = sorted(h3.grid_disk(CENTRE, 1))
    label_counts = [labelled_on(zone, offset, cells) for offset in (-1, 0, 1, 6, 7)]
    assert label_counts == [0, len(cells), len(cells), len(cells), 0]


def test_reports_dated_to_the_day_are_refused_where_no_zone_says_whose_day() -> None:
    def build(*rows: dict[str, Any], seen: tuple[dict[str, Any], ...] = ()) -> area_risk.AreaRows:
        return area_risk.build(
            incidents(*rows),
            observations(*seen),
            places(),
            theatre=replace(THEATRE, zone=None),
            task=TASK,
            features=FEATURES,
            admiralty=ADMIRALTY,
        )

    to_the_minute = incident("a", "2020-06-01", occurred_precision="minute")
    assert build(to_the_minute).table.num_rows > 0
    with pytest.raises(StageError, match=r"theatre.zone is not set, and 1 of 2 incidents .*acme, record 17.*IANA zone"):
        build(to_the_minute, incident("b", "2020-06-01", source_id="acme", record_id="17"))
    patrol = {**incident("x", "2020-06-15"), "observation_id": "o", "kind": "patrol", "value": 1.0, "unit": "h"}
    with pytest.raises(StageError, match="1 of 1 observations are dated to the day"):
        build(to_the_minute, seen=(patrol,))


def test_the_rows_say_of_which_zone_their_cutoffs_are_and_so_does_their_file(tmp_path: Path) -> None:
    rows = rows_of(incidents(incident("a", "2020-06-01")), task=replace(TASK, zone="Asia/Baghdad"))
    assert local_days.zone_of(rows.table.schema) == "Asia/Baghdad"
    file = tmp_path / "rows.parquet"
    store.write_table(rows.table, file, schema=rows.table.schema, sort_by=("cutoff", "cell"))
    assert local_days.zone_of(store.read_table(file, columns=["cutoff"]).schema) == "Asia/Baghdad"
    assert local_days.zone_of(next(store.read_batches(file)).schema) == "Asia/Baghdad"
    assert local_days.zone_of(pa.schema([("cutoff", pa.timestamp("us", "UTC"))])) == "UTC"
    hours = {moment.hour for moment in rows.table["cutoff"].to_pylist()}
    assert hours == {21}


def test_origins_and_blocks_count_calendar_days_where_the_clocks_change() -> None:
    task = replace(
        TASK,
        zone="Asia/Beirut",
        cutoff_every_days=7,
        horizon_days=14,
        retrain_every_days=56,
        train_from=date(2020, 1, 1),
    )
    plain, local = (cutoffs_of(one) for one in (replace(task, zone="UTC"), task))
    assert len({moment.astype("datetime64[h]").astype(int) % 24 for moment in local}) == 2  # summer and winter
    for ours, theirs in zip(
        origins.rolling_origins(local, task, calibration_blocks=2),
        origins.rolling_origins(plain, replace(task, zone="UTC"), calibration_blocks=2),
        strict=True,
    ):
        np.testing.assert_array_equal(ours.train, theirs.train)
        np.testing.assert_array_equal(ours.block, theirs.block)
        assert (ours.tested, local_days.day_of(ours.at, "Asia/Beirut")) == (theirs.tested, theirs.at)
    np.testing.assert_array_equal(origins.blocks(local, horizon_days=14), origins.blocks(plain, horizon_days=14))
