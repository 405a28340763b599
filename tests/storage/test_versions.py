"""What was known at a moment, against the definition row by row."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.storage import schemas, versions

START = datetime(2020, 1, 1, tzinfo=UTC)
DAYS = st.integers(0, 6)
ROWS = st.lists(st.tuples(DAYS, st.none() | DAYS), max_size=12)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def table(rows: list[tuple[int, int | None]]) -> pa.Table:
    return pa.table(
        {
            "row": pa.array(range(len(rows)), pa.int64()),
            "available_at": pa.array([day(a) for a, _ in rows], schemas.UTC),
            "superseded_at": pa.array([None if s is None else day(s) for _, s in rows], schemas.UTC),
        }
    )


@given(ROWS, DAYS)
def test_a_version_is_known_from_when_it_is_available_until_it_is_superseded(rows, moment) -> None:
    expected = [j for j, (a, s) in enumerate(rows) if a <= moment and (s is None or s > moment)]
    assert versions.known_at(table(rows), day(moment))["row"].to_pylist() == expected
    at = np.datetime64(day(moment).replace(tzinfo=None))
    assert versions.known_at(table(rows), at)["row"].to_pylist() == expected


@given(ROWS, DAYS, DAYS)
def test_of_a_table_as_it_stood_the_same_was_known_at_every_earlier_moment(rows, moment, later) -> None:
    moment, later = sorted((moment, later))
    whole = table(rows)
    stood = versions.as_it_stood(whole, day(later))
    assert stood.schema == whole.schema
    assert versions.known_at(stood, day(moment))["row"].equals(versions.known_at(whole, day(moment))["row"])
    assert versions.latest(stood)["row"].equals(versions.known_at(whole, day(later))["row"])


@given(ROWS)
def test_between_two_changes_the_same_is_known(rows) -> None:
    whole = table(rows)
    changes = versions.changes(whole)
    assert changes == sorted({day(a) for a, _ in rows} | {day(s) for _, s in rows if s is not None})
    for number in range(7):
        if day(number) not in changes and number:
            now, before = (versions.known_at(whole, day(n))["row"] for n in (number, number - 1))
            assert now.equals(before)


def test_a_table_without_rows_has_no_changes() -> None:
    assert versions.changes(schemas.PLACES.schema.empty_table()) == []
