"""All sources of a dataset -> the four canonical tables, the quarantine, and what became of every record."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import store, tables
from pipeline.cli import StageError
from pipeline.ingest import report
from pipeline.ingest.positions import Gazetteer
from pipeline.ingest.sources import TABLES, Source, as_gazetteer, read_sources, table_schema
from pipeline.ingest.staging import Staged, stage
from pipeline.params import Params
from pipeline.paths import DatasetPaths


def in_place(dataset: str, params: Params, *, sources: Path, staging: Path) -> Iterator[tuple[Source, Staged]]:
    """Give each source of a dataset and its staging folder, gazetteers first.

    The folder of a gazetteer must be whole before the sources after it are asked for: they look places up in it.
    """
    entry = params.dataset(dataset)
    measured = params.measured(dataset)
    mappings = read_sources(entry.sources, sources, measured=measured)
    wanted = {mapping.gazetteer for mapping in mappings.values()}
    gazetteers: dict[str, Gazetteer] = {}
    for name, mapping in mappings.items():
        staged = Staged(staging / name)
        yield Source(name, mapping, entry.theatre.bounds, measured, gazetteers), staged
        if name in wanted:
            gazetteers[name] = as_gazetteer(store.read_table(staged.rows))


def ingest(dataset: str, params: Params, *, sources: Path, raw: Path, staging: Path) -> dict[str, Staged]:
    """Stage every source of a dataset; what has not changed since the last time is not read again."""
    done: dict[str, Staged] = {}
    for source, staged in in_place(dataset, params, sources=sources, staging=staging):
        stage(source, staged, raw=raw)
        done[source.name] = staged
    return dict(sorted(done.items()))


def ingested_gazetteers(names: list[str], staging: Path) -> dict[str, Gazetteer]:
    """Return gazetteers that were ingested before.

    Raises
    ------
    StageError
        One of them was not.
    """
    for name in names:
        if Staged(staging / name).made_from() is None:
            raise StageError(
                f"{name}: the gazetteer is not ingested yet; run python -m pipeline.ingest --dataset <name>"
            )
    return {name: as_gazetteer(store.read_table(Staged(staging / name).rows)) for name in names}


def write(done: dict[str, Staged], where: DatasetPaths, *, measured: dict[str, Any]) -> None:
    """Write the four tables, all at once, then the refused records and the counts."""
    with store.replacing_folder(where.tables) as new:
        for table in TABLES:
            parts = [part.rows for part in done.values() if part.counts["table"] == table and part.counts["kept"]]
            _concatenate(parts, new / f"{table}.parquet", schema=table_schema(table, measured))
    refused = [part.quarantine for part in done.values() if part.counts["quarantined"]]
    _concatenate(refused, where.quarantine / "quarantine.parquet", schema=tables.QUARANTINE)
    counts = {name: staged.counts for name, staged in done.items()}
    store.write_json(report.summary(counts), where.reports / "ingest.json")


def _concatenate(parts: list[Path], path: Path, *, schema: pa.Schema) -> None:
    if len(parts) == 1:
        with store.replacing(path) as new:
            shutil.copyfile(parts[0], new)
        return
    with store.writing_table(path, schema=schema) as write:
        for part in parts:
            for rows in store.read_batches(part):
                write(rows)
