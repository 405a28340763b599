"""One partner's file -> its rows, withdrawals and refused records in a folder of their own, streamed in bounded memory.

A folder remembers what it was made from: a file, mapping or rule that has not changed is not read again.
"""

import hashlib
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

from pipeline.ingest import versions
from pipeline.ingest.mapping.sources import Source
from pipeline.ingest.reading import readers
from pipeline.ingest.reading.chunk import Chunk, Refusal
from pipeline.ingest.rules import keys
from pipeline.ingest.rules.rows import WITHDRAWALS, Mapped, map_chunk
from pipeline.runtime import code_closure
from pipeline.runtime.errors import StageError
from pipeline.storage import schemas, store

In = TypeVar("In")
Out = TypeVar("Out")

_AHEAD = 3
"""Chunks that may wait to be written while others are mapped: bounds the memory."""

_SELDOM_REPEATS = ("record_id", "observed_at", "available_at", "latitude_deg", "longitude_deg", "raw_row")


@dataclass(frozen=True)
class Staged:
    """The folder of one source."""

    folder: Path

    @property
    def mapped(self) -> Path:
        """Every row that was mapped, in the file's order."""
        return self.folder / "mapped.parquet"

    @property
    def withdrawals(self) -> Path:
        """The records that were withdrawn."""
        return self.folder / "withdrawals.parquet"

    @property
    def quarantine(self) -> Path:
        """The records that were refused."""
        return self.folder / "quarantine.parquet"

    @property
    def versions(self) -> Path:
        """The rows with their versions resolved; not there where no record occurs twice."""
        return self.folder / "versions.parquet"

    @property
    def rows(self) -> Path:
        """The rows that go into the canonical table."""
        return self.versions if self.versions.exists() else self.mapped

    @property
    def facts(self) -> Path:
        """What the folder was made from, and the counts; written last."""
        return self.folder / "facts.json"

    @property
    def counts(self) -> dict[str, Any]:
        """What became of every record of the file."""
        return dict(store.read_json(self.facts)["counts"])

    def made_from(self) -> str | None:
        """Return the digest of what the folder was made from; None where it is not whole."""
        return str(store.read_json(self.facts)["made_from"]) if self.facts.exists() else None


def stage(source: Source, staged: Staged, *, raw: Path) -> None:
    """Map one source's file into its folder, unless that holds the same already.

    Parameters
    ----------
    raw
        Folder under which the mapping's `file` lies.
    """
    path = raw / source.mapping.file
    made_from = digest_of(source, path)
    if staged.made_from() == made_from:
        return
    chunks = readers.read(path, source.mapping.format, source.mapping.columns, serials=source.mapping.serials)
    rows_in = 0
    with Writing(staged, source) as writing:
        for records, mapped, hashes in _in_order(lambda chunk: _with_hashes(chunk, source), chunks):
            rows_in += records
            writing.append(mapped, hashes)
    finish(staged, source, rows_in=rows_in, made_from=made_from)


class Writing(ExitStack):
    """The three files of a source while they are written."""

    def __init__(self, staged: Staged, source: Source) -> None:
        super().__init__()
        self._source = source
        staged.folder.mkdir(parents=True, exist_ok=True)
        staged.facts.unlink(missing_ok=True)  # from here on the folder is not whole
        plain = (source.table.id_column, *_SELDOM_REPEATS, *source.measured)
        self._rows = self.enter_context(store.writing_table(staged.mapped, schema=source.table.schema, plain=plain))
        self._withdrawals = self.enter_context(store.writing_table(staged.withdrawals, schema=WITHDRAWALS))
        self._quarantine = self.enter_context(
            store.writing_table(staged.quarantine, schema=schemas.QUARANTINE, plain=("raw_row", "row"))
        )
        self._hash_path = _hash_file(staged)
        self._hashes = self.enter_context(self._hash_path.open("wb"))

    def __exit__(self, *fault: Any) -> bool | None:
        """Close the files; after a fault leave none of them."""
        swallowed = super().__exit__(*fault)
        if fault[0] is not None:
            self._hash_path.unlink(missing_ok=True)
        return swallowed

    def append(self, mapped: Mapped, hashes: np.ndarray) -> None:
        """Write what became of one chunk."""
        self._rows(mapped.rows)
        self._withdrawals(mapped.withdrawals)
        self._quarantine(quarantine_table(self._source, mapped.refused))
        hashes.tofile(self._hashes)


def finish(staged: Staged, source: Source, *, rows_in: int, made_from: str) -> None:
    """Resolve the versions of a source whose rows are written, count, and declare the folder whole.

    Parameters
    ----------
    rows_in
        Records that the reader gave.
    made_from
        Digest of what the folder is made from.

    Raises
    ------
    StageError
        A record is neither kept nor merged nor quarantined.
    """
    staged.versions.unlink(missing_ok=True)
    withdrawals = store.read_table(staged.withdrawals)
    suspects = np.union1d(keys.repeated(_hash_file(staged)), keys.hashes(withdrawals["record_id"].combine_chunks()))
    _hash_file(staged).unlink()
    repeats = corrections = 0
    if len(suspects):
        several = [rows.filter(_among(rows, suspects)) for rows in store.read_batches(staged.mapped)]
        resolved = versions.resolve(pa.concat_tables([source.table.schema.empty_table(), *several]), withdrawals)
        repeats, corrections = resolved.repeats, resolved.corrections
        others = (rows.filter(pc.invert(_among(rows, suspects))) for rows in store.read_batches(staged.mapped))
        with store.writing_table(staged.versions, schema=source.table.schema, plain=_SELDOM_REPEATS) as write:
            for rows in in_file_order(others, resolved.rows):
                write(rows)
    rules: Counter[str] = Counter()
    for refused in store.read_batches(staged.quarantine, columns=["rule"]):
        rules.update(refused["rule"].to_pylist())
    kept = store.count_rows(staged.rows)
    counts: dict[str, Any] = {
        "table": source.mapping.table,
        "rows_in": rows_in,
        "kept": kept,
        "merged": repeats + withdrawals.num_rows,
        "quarantined": rules.total(),
        "repeats": repeats,
        "withdrawals": withdrawals.num_rows,
        "corrections": corrections,
        "rules": dict(sorted(rules.items())),
    }
    if rows_in != kept + counts["merged"] + counts["quarantined"]:
        raise StageError(
            f"{source.mapping.file}: rows in {rows_in:,}; got kept {kept:,} + merged {counts['merged']:,} + "
            f"quarantined {counts['quarantined']:,}; expected the same number, so that none is lost"
        )
    store.write_json({"made_from": made_from, "counts": counts}, staged.facts)


def in_file_order(rows: Iterable[pa.Table], others: pa.Table) -> Iterator[pa.Table]:
    """Merge rows that come in the file's order with a table of others of the same file."""
    others = others.sort_by("raw_row")
    for part in rows:
        if part.num_rows:
            last = part["raw_row"][-1]
            before = pc.sum(pc.less(others["raw_row"], last)).as_py() or 0
            if before:
                part = pa.concat_tables([part, others.slice(0, before)]).sort_by("raw_row")
                others = others.slice(before)
            yield part
    yield others


def quarantine_table(source: Source, refused: list[Refusal]) -> pa.Table:
    """Return refused records as rows of the quarantine."""
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
            "raw_row": refusal.number,
            "column": refusal.column,
            "rule": refusal.rule,
            "message": f"{mapping.file} row {refusal.number}: {refusal.problem}",
            "value": refusal.value,
            "row": refusal.row,
            **constants,
        }
        for refusal in refused
    ]
    return pa.Table.from_pylist(rows, schema=schemas.QUARANTINE)


def digest_of(source: Source, path: Path) -> str:
    """Return the digest of all that decides what a file's records become: it, its mapping, the rules and this code."""
    stated = (source.name, source.mapping, source.bounds, source.years, dict(source.measured))
    state = hashlib.sha256(repr(stated).encode())
    if source.border is not None:
        state.update(source.border.digest.encode())
    for name, gazetteer in sorted(source.gazetteers.items()):
        if name == source.mapping.gazetteer:
            state.update(repr(gazetteer.codes.to_pylist()).encode())
            state.update(gazetteer.latitude_deg.tobytes() + gazetteer.longitude_deg.tobytes())
    state.update(code_closure.digest(__name__).encode())
    if path.is_file():
        state.update(store.digest(path).encode())
    return f"sha256:{state.hexdigest()}"


def _with_hashes(chunk: Chunk, source: Source) -> tuple[int, Mapped, np.ndarray]:
    mapped = map_chunk(chunk, source)
    return chunk.records, mapped, hashes_of(mapped.rows, source)


def hashes_of(rows: pa.Table, source: Source) -> np.ndarray:
    """Return the hashes of the rows' keys; none where there is no key, for a record is then its row, and comes once."""
    return keys.hashes(rows["record_id"].combine_chunks() if source.mapping.key else pa.array([], pa.string()))


def _among(rows: pa.Table, suspects: np.ndarray) -> pa.Array:
    return pa.array(np.isin(keys.hashes(rows["record_id"].combine_chunks()), suspects))


def _hash_file(staged: Staged) -> Path:
    return staged.folder / ".hashes"


def _in_order(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """Map items in a second thread while the first reads and writes; Arrow lets go of the interpreter's lock."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[Future[Out]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
