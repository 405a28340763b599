"""One description of a table: its words, ranges, clocks and what a mapping gives; the documents say the same."""

import re
from pathlib import Path

import pytest

from pipeline.storage import schemas

ALL = {**schemas.tables(["range_m"]), "merges": schemas.MERGES}


@pytest.mark.parametrize("name", ALL)
def test_what_a_table_says_of_itself_are_its_columns(name: str) -> None:
    table = ALL[name]
    names = [column.name for column in table.columns]
    assert table.name == name
    assert len(set(names)) == len(names)
    assert {table.id_column, *table.sort_by, *([table.occurred] if table.occurred else [])} <= set(names)
    assert all(column.meaning for column in table.columns)
    assert [field.metadata[b"meaning"].decode() for field in table.schema] == [c.meaning for c in table.columns]


@pytest.mark.parametrize("name", schemas.tables())
def test_a_row_that_a_mapping_need_not_fill_may_lack_the_value_or_has_a_default(name: str) -> None:
    table = ALL[name]
    assert [n for n in table.optional if not table.column(n).nullable] == (["unit"] if name == "places" else [])
    assert {"available_at", "superseded_at"} <= {column.name for column in table.columns}


def test_measured_columns_stand_between_the_position_and_the_outcome() -> None:
    names = schemas.detections(["range_m", "voltage"]).schema.names
    assert names[names.index("location_precision_m") + 1 : names.index("outcome")] == ["range_m", "voltage"]


def test_the_sources_page_names_what_each_mapping_must_give() -> None:
    page = Path("docs/sources.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"What each table needs: (.*?)\. The columns", page, flags=re.DOTALL)
    clauses = dict(clause.split(" ", 1) for clause in re.split(r";\s+", sentence.replace("\n", " ")))
    assert {name: tuple(re.findall(r"`(\w+)`", text))[: len(ALL[name].required)] for name, text in clauses.items()} == {
        name: table.required for name, table in schemas.tables().items()
    }
