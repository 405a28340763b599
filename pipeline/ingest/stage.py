"""All sources of a dataset -> the canonical tables, merges, the quarantine, and what became of every record."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.ingest import report
from pipeline.ingest.linking import decisions
from pipeline.ingest.linking.decisions import Decisions
from pipeline.ingest.linking.linkage import mark_of
from pipeline.ingest.linking.merging import merge
from pipeline.ingest.mapping.sources import Source, as_gazetteer, read_sources
from pipeline.ingest.rules.borders import border_of
from pipeline.ingest.rules.positions import Gazetteer
from pipeline.ingest.staging import Staged, stage
from pipeline.params import Linkage, Params
from pipeline.runtime.errors import DeclarationError, StageError
from pipeline.storage import schemas, store
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.versions import latest


def in_place(
    dataset: str, params: Params, *, sources: Path, raw: Path, staging: Path
) -> Iterator[tuple[Source, Staged]]:
    """Give each source of a dataset and its staging folder, gazetteers first.

    The folder of a gazetteer must be whole before the sources after it are asked for: they look places up in it.
    """
    entry = params.dataset(dataset)
    measured = params.measured(dataset)
    mappings = read_sources(entry.sources, sources, measured=measured)
    border = border_of(entry.theatre, sources=sources, raw=raw)
    wanted = {mapping.gazetteer for mapping in mappings.values()}
    gazetteers: dict[str, Gazetteer] = {}
    for name, mapping in mappings.items():
        staged = Staged(staging / name)
        within = None if mapping.table == "places" else border  # ground is not reported: towns across it matter too
        yield Source(name, mapping, entry.bounds, measured, gazetteers, within, entry.years), staged
        if name in wanted:
            gazetteers[name] = as_gazetteer(store.read_table(staged.rows))


def ingest(dataset: str, params: Params, *, sources: Path, raw: Path, staging: Path) -> dict[str, Staged]:
    """Stage every source of a dataset; what has not changed since the last time is not read again."""
    done: dict[str, Staged] = {}
    for source, staged in in_place(dataset, params, sources=sources, raw=raw, staging=staging):
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


@dataclass(frozen=True)
class Linking:
    """How a dataset's reports are linked: the rule, and what reviewers decided, in the file at `path`."""

    rule: Linkage
    decisions: Decisions
    path: Path


def linking_of(dataset: str, params: Params, *, sources: Path) -> Linking | None:
    """Return how a dataset's reports are linked; None where params.yaml does not say that they are.

    Raises
    ------
    DeclarationError
        There are decisions of reviewers that nothing would follow, or they are wrong.
    """
    rule = params.dataset(dataset).linkage
    path = decisions.path_of(dataset, sources)
    if rule is None:
        if path.exists():
            raise DeclarationError(
                f"{path}: params.yaml: datasets.{dataset} has no linkage; expected it, or no such file"
            )
        return None
    return Linking(rule, decisions.read_decisions(path), path)


def write(
    done: dict[str, Staged], where: DatasetPaths, *, measured: dict[str, Any], linking: Linking | None
) -> dict[str, Any]:
    """Write the tables, all at once, then the refused records and the counts; return the counts."""
    linked: dict[str, int] | None = None
    with store.replacing_folder(where.tables) as new:
        for name, table in schemas.tables(measured).items():
            parts = [part.rows for part in done.values() if part.counts["table"] == name and part.counts["kept"]]
            _concatenate(parts, new / f"{name}.parquet", schema=table.schema)
        merges = schemas.MERGES.schema.empty_table()
        if linking is not None:
            merges, linked = _link(new / "incidents.parquet", linking)
        store.write_table(merges, new / "merges.parquet", schema=schemas.MERGES.schema, sort_by=schemas.MERGES.sort_by)
    refused = [part.quarantine for part in done.values() if part.counts["quarantined"]]
    _concatenate(refused, where.quarantine / "quarantine.parquet", schema=schemas.QUARANTINE)
    summary = report.summary({name: staged.counts for name, staged in done.items()}, linked)
    store.write_json(summary, where.ingested)
    return summary


def _link(path: Path, linking: Linking) -> tuple[pa.Table, dict[str, int]]:
    incidents = store.read_table(path)
    if linking.decisions != Decisions():
        standing = latest(incidents)
        standing = standing.select(["incident_id", "originator", "releasable_to"]).to_pylist()
        decisions.check(linking.decisions, {row["incident_id"]: mark_of(row) for row in standing}, linking.path)
    merged = merge(incidents, linking.rule, linking.decisions)
    with store.writing_table(path, schema=schemas.INCIDENTS.schema) as write:
        write(merged.incidents)
    return merged.merges, merged.counts


def _concatenate(parts: list[Path], path: Path, *, schema: pa.Schema) -> None:
    if len(parts) == 1:
        with store.replacing(path) as new:
            shutil.copyfile(parts[0], new)
        return
    with store.writing_table(path, schema=schema) as write:
        for part in parts:
            for rows in store.read_batches(part):
                write(rows)
