"""One partner's file -> a folder with its rows, withdrawals and rejected rows, streamed in bounded memory.

The folder keeps a digest of its inputs. Only a changed file, mapping or code makes ingest read a file again.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic.dataclasses

from pipeline.ingest import staging_key, versions
from pipeline.ingest.reading import readers
from pipeline.ingest.reading.chunk import Chunk, RejectedRow
from pipeline.ingest.rules import keys
from pipeline.ingest.rules.rows import WITHDRAWALS, MappedChunk, map_chunk
from pipeline.ingest.rules.source import Source
from pipeline.runtime.errors import StageError
from pipeline.storage import records, schemas, store
from pipeline.storage.ingest_report import SourceCounts
from pipeline.storage.records import RECORD

In = TypeVar("In")
Out = TypeVar("Out")

_AHEAD = 3
"""Chunks in work at a time, which bounds the memory."""

_SELDOM_REPEATS = ("record_id", "observed_at", "available_at", "latitude_deg", "longitude_deg", "raw_row")


@pydantic.dataclasses.dataclass(frozen=True, config=RECORD, kw_only=True)
class StagedSummary:
    """The inputs of a staging folder, and its counts."""

    input_digest: str
    counts: SourceCounts


@dataclass(frozen=True)
class Staged:
    """The folder of one source."""

    folder: Path

    @property
    def mapped(self) -> Path:
        """Every mapped row, in the file's order."""
        return self.folder / "mapped.parquet"

    @property
    def withdrawals(self) -> Path:
        """The withdrawals of records."""
        return self.folder / "withdrawals.parquet"

    @property
    def quarantine(self) -> Path:
        """The rejected rows."""
        return self.folder / "quarantine.parquet"

    @property
    def versions(self) -> Path:
        """The rows with their versions resolved; without a repeated record, this file does not exist."""
        return self.folder / "versions.parquet"

    @property
    def rows(self) -> Path:
        """The rows that go into the canonical table."""
        return self.versions if self.versions.exists() else self.mapped

    @property
    def summary(self) -> Path:
        """The digest of the inputs, and the counts; written last."""
        return self.folder / "summary.json"

    @property
    def counts(self) -> SourceCounts:
        """The counts of the file's records."""
        return self._read().counts

    def input_digest(self) -> str | None:
        """Return the digest of the folder's inputs; None where the folder is not whole."""
        try:
            return self._read().input_digest if self.summary.exists() else None
        except StageError:  # an earlier release wrote it
            return None

    def _read(self) -> StagedSummary:
        return records.read(self.summary, StagedSummary)


def stage(source: Source, staged: Staged, *, raw: Path) -> None:
    """Map one source's file into its folder, unless the folder is of the same inputs.

    Parameters
    ----------
    source
        The source.
    staged
        Its folder.
    raw
        Folder under which the mapping's `file` lies.
    """
    path = raw / source.mapping.file
    digest = staging_key.input_digest(source, path)
    if staged.input_digest() == digest:
        return
    chunks = readers.read(path, source.mapping.format, source.mapping.columns, serials=source.mapping.serials)
    rows_in = 0
    with StagedFiles(staged, source) as files:
        for count, mapped, hashes in _in_order(lambda chunk: _with_hashes(chunk, source), chunks):
            rows_in += count
            files.append(mapped, hashes)
    finish(staged, source, rows_in=rows_in, input_digest=digest)


class StagedFiles(ExitStack):
    """The files of a source, open for writing."""

    def __init__(self, staged: Staged, source: Source) -> None:
        super().__init__()
        self._source = source
        staged.folder.mkdir(parents=True, exist_ok=True)
        staged.summary.unlink(missing_ok=True)  # from here on the folder is not whole
        plain = (source.table.id_column, *_SELDOM_REPEATS, *source.measured)
        self._rows = self.enter_context(store.writing_table(staged.mapped, schema=source.table.schema, plain=plain))
        self._withdrawals = self.enter_context(store.writing_table(staged.withdrawals, schema=WITHDRAWALS))
        self._quarantine = self.enter_context(
            store.writing_table(staged.quarantine, schema=schemas.QUARANTINE, plain=("raw_row", "row"))
        )
        self._hash_path = _hash_file(staged)
        self._hashes = self.enter_context(self._hash_path.open("wb"))

    def __exit__(self, *fault: Any) -> bool | None:
        """Close the files; after an error leave none of them."""
        swallowed = super().__exit__(*fault)
        if fault[0] is not None:
            self._hash_path.unlink(missing_ok=True)
        return swallowed

    def append(self, mapped: MappedChunk, hashes: np.ndarray) -> None:
        """Write the rows of one chunk, and the hashes of their keys."""
        self._rows(mapped.rows)
        self._withdrawals(mapped.withdrawals)
        self._quarantine(quarantine_table(self._source, mapped.rejected))
        hashes.tofile(self._hashes)


def finish(staged: Staged, source: Source, *, rows_in: int, input_digest: str) -> None:
    """Resolve the versions of a source's rows, count, and mark the folder as whole.

    Parameters
    ----------
    staged
        The folder, with the source's rows.
    source
        The source.
    rows_in
        Number of records of the file.
    input_digest
        Of the folder's inputs.

    Raises
    ------
    StageError
        A record is neither kept nor merged nor quarantined.
    """
    staged.versions.unlink(missing_ok=True)
    withdrawals = store.read_table(staged.withdrawals)
    suspects = np.union1d(keys.repeated(_hash_file(staged)), keys.hashes(withdrawals["record_id"].combine_chunks()))
    _hash_file(staged).unlink()
    repeats, corrections = _resolve_versions(staged, source, suspects, withdrawals) if len(suspects) else (0, 0)
    rules: Counter[str] = Counter()
    for rejected in store.read_batches(staged.quarantine, columns=["rule"]):
        rules.update(rejected["rule"].to_pylist())
    counts = SourceCounts(
        table=source.mapping.table,
        about=" ".join(source.mapping.about.split()),
        rows_in=rows_in,
        kept=store.count_rows(staged.rows),
        merged=repeats + withdrawals.num_rows,
        quarantined=rules.total(),
        repeats=repeats,
        withdrawals=withdrawals.num_rows,
        corrections=corrections,
        rules=dict(sorted(rules.items())),
    )
    if rows_in != counts.kept + counts.merged + counts.quarantined:
        raise StageError(
            f"{source.mapping.file}: rows in {rows_in:,}; got kept {counts.kept:,} + merged {counts.merged:,} + "
            f"quarantined {counts.quarantined:,}; expected the same number, so that none is lost"
        )
    records.write(StagedSummary(input_digest=input_digest, counts=counts), staged.summary)


def _resolve_versions(staged: Staged, source: Source, suspects: np.ndarray, withdrawals: pa.Table) -> tuple[int, int]:
    """Write the rows with the versions of suspect records resolved; return the numbers of repeats and corrections."""
    repeating = [rows.filter(_among(rows, suspects)) for rows in store.read_batches(staged.mapped)]
    resolved = versions.resolve(pa.concat_tables([source.table.schema.empty_table(), *repeating]), withdrawals)
    single = (rows.filter(pc.invert(_among(rows, suspects))) for rows in store.read_batches(staged.mapped))
    with store.writing_table(staged.versions, schema=source.table.schema, plain=_SELDOM_REPEATS) as write:
        for rows in in_file_order(single, resolved.rows):
            write(rows)
    return resolved.repeats, resolved.corrections


def in_file_order(rows: Iterable[pa.Table], added: pa.Table) -> Iterator[pa.Table]:
    """Merge rows in the file's order with a table of further rows of the file."""
    added = added.sort_by("raw_row")
    for part in rows:
        if part.num_rows:
            last = part["raw_row"][-1]
            before = pc.sum(pc.less(added["raw_row"], last)).as_py() or 0
            if before:
                part = pa.concat_tables([part, added.slice(0, before)]).sort_by("raw_row")
                added = added.slice(before)
            yield part
    yield added


def quarantine_table(source: Source, rejected: list[RejectedRow]) -> pa.Table:
    """Return rejected rows as a table of the quarantine."""
    mapping = source.mapping
    constants = {
        "source_id": source.name,
        "originator": mapping.marking.originator,
        "releasable_to": mapping.marking.releasable_to,
        "tlp": mapping.marking.tlp,
        "simulated": mapping.simulated,
        "raw_file": mapping.file,
    }
    rows = [
        {
            "raw_row": row.number,
            "column": row.column,
            "rule": row.rule,
            "message": f"{mapping.file} row {row.number}: {row.problem}",
            "value": row.value,
            "row": row.row,
            **constants,
        }
        for row in rejected
    ]
    return pa.Table.from_pylist(rows, schema=schemas.QUARANTINE)


def _with_hashes(chunk: Chunk, source: Source) -> tuple[int, MappedChunk, np.ndarray]:
    mapped = map_chunk(chunk, source)
    return chunk.records, mapped, hashes_of(mapped.rows, source)


def hashes_of(rows: pa.Table, source: Source) -> np.ndarray:
    """Return the hashes of the rows' keys; none where the mapping has no key: each record is then its own."""
    return keys.hashes(rows["record_id"].combine_chunks() if source.mapping.key else pa.array([], pa.string()))


def _among(rows: pa.Table, suspects: np.ndarray) -> pa.Array:
    return pa.array(np.isin(keys.hashes(rows["record_id"].combine_chunks()), suspects))


def _hash_file(staged: Staged) -> Path:
    return staged.folder / ".hashes"


def _in_order(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """Map items in two threads while the caller's reads and writes; Arrow releases the interpreter's lock."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[Future[Out]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
