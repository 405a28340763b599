"""The canonical tables are read in one place."""

from pathlib import Path

import pyarrow as pa
import pytest

import pipeline
from pipeline.runtime.errors import StageError
from pipeline.storage import schemas, store
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.read import open_tables, table_files

PATHS = DatasetPaths("made")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, spec in schemas.tables().items():
        store.write_table(
            spec.schema.empty_table(), PATHS.tables / f"{name}.parquet", schema=spec.schema, sort_by=(spec.id_column,)
        )


def test_tables_come_in_the_requested_order_with_the_requested_columns(project) -> None:
    tables = open_tables("made", ["places", "incidents"], columns=["available_at"])
    assert list(tables) == ["places", "incidents"]
    assert tables["places"].schema == pa.schema([pa.field("available_at", schemas.UTC, nullable=False)])
    (all_columns,) = open_tables("made", ["incidents"]).values()
    assert all_columns.schema == schemas.INCIDENTS.schema
    assert table_files("made") == {n: PATHS.tables / f"{n}.parquet" for n in sorted(schemas.tables())}


def test_a_missing_table_is_named_with_what_makes_it(project) -> None:
    (PATHS.tables / "places.parquet").unlink()
    with pytest.raises(StageError, match=r"data/tables/made/places\.parquet: no such file; run `make DATASET=made`"):
        open_tables("made", schemas.tables())


def test_nothing_else_reads_the_tables() -> None:
    """`ingest` writes them; whoever asks `DatasetPaths` for their folder could read past the one reader."""
    folder = Path(pipeline.__file__).parent
    asking = [
        file.relative_to(folder).as_posix() for file in folder.rglob("*.py") if "paths.tables" in file.read_text()
    ]
    asking += [file.relative_to(folder).as_posix() for file in folder.rglob("*.py") if ").tables" in file.read_text()]
    assert asking == ["storage/read.py"] * len(asking)
