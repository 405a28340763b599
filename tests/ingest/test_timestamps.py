from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ingest.mapping.fields import Timestamp
from pipeline.ingest.rules import timestamps
from pipeline.storage.schemas import OCCURRED_PRECISIONS


def read(text, *formats, zone="UTC", **more):
    instants = timestamps.parse(
        pa.array([text], pa.string()), Timestamp(column="c", formats=list(formats), zone=zone, **more)
    )
    if not instants.ok[0]:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(instants.us[0]))).isoformat()


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2021-02-30", "%Y-%m-%d"),
        ("2021-02-30", "iso8601"),
        ("2021-02-30T10:00:00Z", "iso8601"),
        ("1900-02-29", "%Y-%m-%d"),
        ("2021-13-01", "%Y-%m-%d"),
        ("2021-01-01 24:00", "%Y-%m-%d %H:%M"),
        ("2021-01-01T24:00:00Z", "iso8601"),
        ("2021-01-01 23:60", "%Y-%m-%d %H:%M"),
        ("2021-01-01 tail", "%Y-%m-%d"),
        ("2021-01-0", "%Y-%m-%d"),
        ("0000-04-02", "%Y-%m-%d"),
        ("13:30 PM", "%H:%M %p"),
        ("366 2021", "%j %Y"),
        ("60", "excel_serial"),  # 29 February 1900, which Excel has and the calendar has not
        ("-1", "excel_serial"),
        ("1e9", "unix_s"),
        ("", "%Y"),
    ],
)
def test_a_date_that_is_not_in_the_calendar_is_refused(text, form):
    assert read(text, form) is None


@pytest.mark.parametrize(
    ("text", "form", "zone", "utc"),
    [
        ("2020-02-29", "%Y-%m-%d", "UTC", "2020-02-29T00:00:00+00:00"),
        ("2020-02-29", "iso8601", "America/Bogota", "2020-02-29T05:00:00+00:00"),
        ("2020-02-29T10:00:00+02:00", "iso8601", "America/Bogota", "2020-02-29T08:00:00+00:00"),
        ("2020-02-29T10:00:00.25Z", "iso8601", "America/Bogota", "2020-02-29T10:00:00.250000+00:00"),
        ("3/7/20 1:05 pm", "%d/%m/%y %H:%M %p", "UTC", "2020-07-03T13:05:00+00:00"),
        ("12:05 AM 2020", "%H:%M %p %Y", "UTC", "2020-01-01T00:05:00+00:00"),
        ("05 September 2020", "%d %B %Y", "UTC", "2020-09-05T00:00:00+00:00"),
        ("05-SEP-2020", "%d-%b-%Y", "UTC", "2020-09-05T00:00:00+00:00"),
        ("43831.5", "excel_serial", "UTC", "2020-01-01T12:00:00+00:00"),
        ("1577836800", "unix_s", "America/Bogota", "2020-01-01T00:00:00+00:00"),
        ("1577836800500", "unix_ms", "UTC", "2020-01-01T00:00:00.500000+00:00"),
        ("2020 366", "%Y %j", "UTC", "2020-12-31T00:00:00+00:00"),
        ("2020-07-01 08:00 -0500", "%Y-%m-%d %H:%M %z", "UTC", "2020-07-01T13:00:00+00:00"),
    ],
)
def test_a_date_is_read_in_its_format_and_zone(text, form, zone, utc):
    assert read(text, form, zone=zone) == utc


def test_months_are_read_in_the_partners_language():
    first = ["enero", "febrero", "marzo", "abril", "mayo", "junio"]
    months = [*first, "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"]
    assert read("3 de SEPTIEMBRE de 2020", "%d de %B de %Y", months=months) == "2020-09-03T00:00:00+00:00"
    assert read("3 ene. 2020", "%d %b %Y", months=months) == "2020-01-03T00:00:00+00:00"
    assert read("3 January 2020", "%d %B %Y", months=months) is None


def test_the_first_format_that_fits_is_taken_value_by_value():
    texts = pa.array(["2020-01-02", "02/01/2020", None, "nonsense"])
    instants = timestamps.parse(texts, Timestamp(column="c", formats=["%Y-%m-%d", "%d/%m/%Y"]))
    assert instants.ok.tolist() == [True, True, False, False]
    assert instants.us[0] == instants.us[1]


@settings(deadline=None)
@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)), st.sampled_from(["UTC", "Asia/Kabul"])
)
def test_every_time_written_in_a_format_is_read_back(time, zone):
    time = time.replace(microsecond=0)
    form = "%d.%m.%Y %H:%M:%S"
    expected = time.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    assert (
        read(time.strftime("%d.%m.") + f"{time.year:04d}" + time.strftime(" %H:%M:%S"), form, zone=zone)
        == expected.isoformat()
    )


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_date_or_refused_and_never_an_error(text):
    for form in ("iso8601", "%Y-%m-%d", "%d %b %Y %H:%M:%S.%f %z", "excel_serial", "unix_ms"):
        read(text, form)


@pytest.mark.parametrize(
    ("word", "start", "end"),
    [
        ("minute", "2020-02-13T10:30", "2020-02-13T10:30"),
        ("day", "2020-02-13T05:00", "2020-02-14T05:00"),
        ("week", "2020-02-10T05:00", "2020-02-17T05:00"),
        ("month", "2020-02-01T05:00", "2020-03-01T05:00"),
        ("year", "2020-01-01T05:00", "2021-01-01T05:00"),
    ],
)
def test_a_period_begins_and_ends_at_local_midnight(word, start, end):
    instant = np.array(["2020-02-13T10:30"], "M8[us]").astype(np.int64)
    precision = np.array([OCCURRED_PRECISIONS.index(word)], np.int8)
    bounds = timestamps.period(instant, precision, "America/Bogota")
    assert [str(bound.astype("M8[us]").astype("M8[m]")[0]) for bound in bounds] == [start, end]


@pytest.mark.parametrize(("zone", "day"), [("Asia/Beirut", "2021-03-28"), ("America/Havana", "2021-03-14")])
def test_a_day_whose_midnight_the_clocks_skip_begins_when_they_change(zone, day):
    local = np.array([day], "M8[us]").astype(np.int64)
    precision = np.array([OCCURRED_PRECISIONS.index("day")], np.int8)
    start, end = timestamps.period(timestamps.zoned(local, zone), precision, zone)
    expected = datetime.fromisoformat(day).replace(hour=1, tzinfo=ZoneInfo(zone))
    assert datetime.fromtimestamp(int(start[0]) / 1e6, UTC) == expected
    assert (end[0] - start[0]) / 3.6e9 == 23
