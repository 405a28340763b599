"""Rejected rows of a source -> mapped again, unchanged, by the mended mapping; those that fit join its rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.ingest.reading import readers
from pipeline.ingest.reading.chunk import Chunk, RejectedRow, from_row_json
from pipeline.ingest.reading.header import check_header
from pipeline.ingest.rules.rows import MappedChunk, map_chunk
from pipeline.ingest.rules.source import Source
from pipeline.ingest.staging import Staged, StagedFiles, finish, hashes_of, in_file_order
from pipeline.runtime.errors import StageError
from pipeline.storage import store

RETRIED = "retried"
"""The digest of a folder after a retry: the next full run reads the file again."""


@dataclass(frozen=True)
class Retried:
    """The number of records that were in the quarantine, and of those that left it."""

    tried: int
    accepted: int


def retry(source: Source, staged: Staged) -> Retried:
    """Map every rejected row of a source again; put those that fit into the file's order.

    Raises
    ------
    StageError
        The source has not been ingested yet.
    """
    if staged.input_digest() is None:
        raise StageError(f"{source.name}: not ingested yet; run python -m pipeline.ingest --dataset <name> first")
    quarantine = store.read_table(staged.quarantine)
    if not quarantine.num_rows:
        return Retried(0, 0)
    rows_in = staged.counts.rows_in
    again = list(_map_again(quarantine.to_pylist(), source, staged))
    rows = pa.concat_tables([source.table.schema.empty_table(), *(mapped.rows for mapped in again)])
    withdrawals = [store.read_table(staged.withdrawals), *(mapped.withdrawals for mapped in again)]
    rejected = [row for mapped in again for row in mapped.rejected]
    # the old rows are read while the new file is written beside them
    before = store.read_batches(staged.mapped)
    with StagedFiles(staged, source) as files:
        for part in in_file_order(before, rows):
            files.append(MappedChunk(part, withdrawals[0].slice(0, 0), []), hashes_of(part, source))
        nothing = source.table.schema.empty_table()
        files.append(
            MappedChunk(nothing, pa.concat_tables(withdrawals).sort_by("raw_row"), rejected), hashes_of(nothing, source)
        )
    finish(staged, source, rows_in=rows_in, input_digest=RETRIED)
    return Retried(quarantine.num_rows, quarantine.num_rows - len(rejected))


def _map_again(rejected: list[dict[str, object]], source: Source, staged: Staged) -> Iterator[MappedChunk]:
    columns = source.mapping.columns
    for block in (rejected[at : at + readers.ROWS] for at in range(0, len(rejected), readers.ROWS)):
        records = [from_row_json(str(row["row"])) for row in block]
        # a record that the reader could not split has one column without a name, and no mapping mends it
        broken = [row for row, record in zip(block, records, strict=True) if list(record) == [""]]
        readable = [(row, record) for row, record in zip(block, records, strict=True) if list(record) != [""]]
        if readable:
            check_header(staged.quarantine, list(dict.fromkeys(k for _, record in readable for k in record)), columns)
        chunk = Chunk(
            readers.as_columns([record for _, record in readable], columns),
            np.array([row["raw_row"] for row, _ in readable], np.int64),
        )
        mapped = map_chunk(chunk, source)
        again = sorted([*mapped.rejected, *map(_as_rejected_row, broken)], key=lambda row: row.number)
        yield MappedChunk(mapped.rows, mapped.withdrawals, again)


def _as_rejected_row(row: dict[str, object]) -> RejectedRow:
    problem = str(row["message"]).removeprefix(f"{row['raw_file']} row {row['raw_row']}: ")
    return RejectedRow(int(str(row["raw_row"])), None, str(row["rule"]), problem, None, str(row["row"]))
