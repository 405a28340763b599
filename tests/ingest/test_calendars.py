"""A date in another calendar is rejected, and the hint names the calendar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ingest_case import HEADER, INCIDENTS, Case, balance, changed, rejected, rows
from support.project import ROOT

from pipeline.ingest.rules.calendars import hint
from pipeline.params import ANY_YEARS, Years, load


def dated(folder, *days, **changes):
    lines = (f"{number},blast,2,{day},4.5,-74.1" for number, day in enumerate(days))
    return Case(folder, changed(INCIDENTS, **changes)).ingest(HEADER + "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("day", "message"),
    [
        ("1402-05-12", "the calendar may be Solar Hijri, in which 1402 is 2023"),
        ("2567-01-05", "the calendar may be Buddhist, in which 2567 is 2024"),
        ("1445-07-01", "the calendar may be lunar Hijri, in which 1445 is 2023"),
        ("2081-01-05", "the calendar may be Bikram Sambat, in which 2081 is 2024"),
        ("5784-01-05", "the calendar may be Hebrew, in which 5784 is 2024"),
        ("0113-01-05", "the calendar may be Minguo, in which 113 is 2024"),
        ("0024-01-05", "this may be a year of two digits, 2024, read as year 24"),
        ("0001-01-01", "this may be a year of two digits, 2001, read as year 1"),
        ("1899-12-30", "day zero of a spreadsheet"),
        ("3024-01-05", "expected a year from 1900 to 2068"),
    ],
)
def test_a_year_that_cannot_be_is_refused_as_a_date_with_the_likely_calendar(tmp_path, day, message):
    staged = dated(tmp_path, day, "2020-01-31")
    assert balance(staged) == (2, 2)
    assert [row["record_id"] for row in rows(staged)] == ["1"]
    (row,) = rejected(staged)
    assert (row["raw_row"], row["rule"], row["value"]) == (1, "date", day)
    assert f"occurred_at = '{day}'; expected a year from 1900 to 2068" in row["message"]
    assert message in row["message"]


def test_the_first_and_the_last_year_are_taken_by_the_clock_of_the_file(tmp_path):
    days = ["1899-12-31", "1900-01-01", "2068-12-31", "2069-01-01"]
    moment = {**INCIDENTS["occurred_at"], "zone": "America/Bogota"}
    staged = dated(tmp_path, *days, occurred_at=moment)
    assert [row["record_id"] for row in rows(staged)] == ["1", "2"]
    assert [row["rule"] for row in rejected(staged)] == ["date", "date"]


def test_the_same_years_limit_the_time_of_the_report_and_of_a_withdrawal(tmp_path):
    reported = {"at": {"column": "reported_on", "formats": ["iso8601"]}}
    status = {"column": "status", "values": {"new": "report", "void": "withdrawal"}}
    case = Case(tmp_path, changed(INCIDENTS, available_at=reported, status=status))
    good = ",blast,2,2020-01-31,4.5,-74.1,"
    lines = [f"1{good}2567-01-05,new", f"2{good}2020-02-05,new", f"2{good}2567-01-05,void"]
    staged = case.ingest(HEADER.strip() + ",reported_on,status\n" + "\n".join(lines))
    assert [(row["raw_row"], row["rule"], row["column"]) for row in rejected(staged)] == [
        (1, "date", "reported_on"),
        (3, "date", "reported_on"),
    ]
    assert [row["superseded_at"] for row in rows(staged)] == [None]


def test_the_years_of_a_dataset_are_those_of_its_theatre():
    years = {name: entry.years for name, entry in load(ROOT / "params.yaml").datasets.items()}
    assert years["sonar"] == ANY_YEARS == Years(1900, 2068)
    assert years["simulated"] == Years(1900, 2023 + 25)
    assert years["colombia"] == Years(1900, 2022 + 25)


@given(st.integers(-5, 1899) | st.integers(2069, 9999))
def test_a_hint_names_only_years_that_can_be(year):
    text = hint(year, ANY_YEARS)
    if "calendar" in text:
        assert ANY_YEARS.first <= int(text.rsplit(" ", 1)[1]) <= ANY_YEARS.last
