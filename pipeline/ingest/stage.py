"""All sources of a dataset -> the canonical tables, merges, the quarantine, and the report on every record."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.ingest.borders import border_of
from pipeline.ingest.linking import decisions
from pipeline.ingest.linking.decisions import Decisions
from pipeline.ingest.linking.linkage import mark_of
from pipeline.ingest.linking.merging import merge
from pipeline.ingest.mapping.sources import read_sources
from pipeline.ingest.rules.gazetteer import Gazetteer
from pipeline.ingest.rules.source import Source
from pipeline.ingest.staging import Staged, stage
from pipeline.params.datasets import Linkage
from pipeline.params.whole import Params
from pipeline.runtime.errors import DeclarationError, StageError
from pipeline.storage import records, schemas, store
from pipeline.storage.ingest_report import IngestReport, LinkageCounts
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.versions import latest


def in_place(
    dataset: str, params: Params, *, sources: Path, raw: Path, staging: Path
) -> Iterator[tuple[Source, Staged]]:
    """Yield each source of a dataset and its staging folder, gazetteers first.

    The caller must complete a gazetteer's folder before it takes the next source, which looks places up there.

    Parameters
    ----------
    dataset
        Its name.
    params
        All of params.yaml.
    sources
        Folder of the mappings.
    raw
        Folder of the partners' files.
    staging
        Folder of the staging folders.
    """
    entry = params.dataset(dataset)
    measured = params.measured(dataset)
    mappings = read_sources(entry.sources, sources, measured=measured)
    border = border_of(entry.theatre, sources=sources, raw=raw)
    used = {mapping.gazetteer for mapping in mappings.values()}
    gazetteers: dict[str, Gazetteer] = {}
    for name, mapping in mappings.items():
        staged = Staged(staging / name)
        within = None if mapping.table == "places" else border  # towns across the border matter too
        yield Source(name, mapping, entry.bounds, measured, gazetteers, within, entry.years), staged
        if name in used:
            gazetteers[name] = Gazetteer.of(store.read_table(staged.rows))


def ingest(dataset: str, params: Params, *, sources: Path, raw: Path, staging: Path) -> dict[str, Staged]:
    """Stage every source of a dataset; do not read a file again whose inputs did not change.

    Parameters
    ----------
    dataset, params, sources, raw, staging
        As of `in_place`.
    """
    done: dict[str, Staged] = {}
    for source, staged in in_place(dataset, params, sources=sources, raw=raw, staging=staging):
        stage(source, staged, raw=raw)
        done[source.name] = staged
    return dict(sorted(done.items()))


def ingested_gazetteers(names: list[str], staging: Path) -> dict[str, Gazetteer]:
    """Return gazetteers from their staging folders.

    Raises
    ------
    StageError
        A gazetteer is not ingested yet.
    """
    for name in names:
        if Staged(staging / name).input_digest() is None:
            raise StageError(
                f"{name}: the gazetteer is not ingested yet; run python -m pipeline.ingest --dataset <name>"
            )
    return {name: Gazetteer.of(store.read_table(Staged(staging / name).rows)) for name in names}


@dataclass(frozen=True)
class Linking:
    """How ingest links a dataset's reports: by a rule, and by decisions of reviewers in the file at `path`."""

    rule: Linkage
    decisions: Decisions
    path: Path


def linking_of(dataset: str, params: Params, *, sources: Path) -> Linking | None:
    """Return how ingest links a dataset's reports; None where params.yaml has no `linkage` for it.

    Parameters
    ----------
    dataset
        Its name.
    params
        All of params.yaml.
    sources
        Folder of the mappings.

    Raises
    ------
    DeclarationError
        Reviewers' decisions are wrong, or stand beside a dataset without linkage.
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
) -> IngestReport:
    """Write the tables, all at once, then the rejected rows and the report; return the report.

    Parameters
    ----------
    done
        The staging folders of all sources, by name.
    where
        Paths of the dataset.
    measured
        The measured columns of the dataset's detections.
    linking
        How to link reports; None where they are not linked.
    """
    linked: LinkageCounts | None = None
    with store.replacing_folder(where.tables) as new:
        for name, table in schemas.tables(measured).items():
            parts = [part.rows for part in done.values() if part.counts.table == name and part.counts.kept]
            _concatenate(parts, new / f"{name}.parquet", schema=table.schema)
        merges = schemas.MERGES.schema.empty_table()
        if linking is not None:
            merges, linked = _link(new / "incidents.parquet", linking)
        store.write_table(merges, new / "merges.parquet", schema=schemas.MERGES.schema, sort_by=schemas.MERGES.sort_by)
    rejected = [part.quarantine for part in done.values() if part.counts.quarantined]
    _concatenate(rejected, where.quarantine / "quarantine.parquet", schema=schemas.QUARANTINE)
    report = IngestReport.of({name: staged.counts for name, staged in done.items()}, linked)
    records.write(report, where.ingested)
    return report


def _link(path: Path, linking: Linking) -> tuple[pa.Table, LinkageCounts]:
    incidents = store.read_table(path)
    if linking.decisions != Decisions():
        reports = latest(incidents).select(["incident_id", "originator", "releasable_to"]).to_pylist()
        decisions.check(linking.decisions, {row["incident_id"]: mark_of(row) for row in reports}, linking.path)
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
