"""Refused records of a source -> mapped again, unchanged, by the mended mapping; those that fit join its rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.ingest.mapping.sources import Source
from pipeline.ingest.reading import readers
from pipeline.ingest.reading.chunk import Chunk, Refusal, from_row_json
from pipeline.ingest.reading.header import check_header
from pipeline.ingest.rules.rows import Mapped, map_chunk
from pipeline.ingest.staging import Staged, Writing, finish, hashes_of, in_file_order
from pipeline.runtime.errors import StageError
from pipeline.storage import store

RETRIED = "retried"
"""Stands for the digest of a folder that a retry has changed: the next full run reads the file again."""


@dataclass(frozen=True)
class Retried:
    """How many records were in the quarantine, and how many of them have left it."""

    tried: int
    taken: int


def retry(source: Source, staged: Staged) -> Retried:
    """Try every refused record of a source again and put those that fit where they belong in the file's order.

    Raises
    ------
    StageError
        The source has not been ingested yet.
    """
    if staged.made_from() is None:
        raise StageError(f"{source.name}: not ingested yet; run python -m pipeline.ingest --dataset <name> first")
    quarantine = store.read_table(staged.quarantine)
    if not quarantine.num_rows:
        return Retried(0, 0)
    rows_in = staged.counts["rows_in"]
    again = list(_map_again(quarantine.to_pylist(), source, staged))
    rows = pa.concat_tables([source.table.schema.empty_table(), *(mapped.rows for mapped in again)])
    withdrawals = [store.read_table(staged.withdrawals), *(mapped.withdrawals for mapped in again)]
    refused = [refusal for mapped in again for refusal in mapped.refused]
    # the old rows are read while the new file is written beside them
    before = store.read_batches(staged.mapped)
    with Writing(staged, source) as writing:
        for part in in_file_order(before, rows):
            writing.append(Mapped(part, withdrawals[0].slice(0, 0), []), hashes_of(part, source))
        nothing = source.table.schema.empty_table()
        writing.append(
            Mapped(nothing, pa.concat_tables(withdrawals).sort_by("raw_row"), refused), hashes_of(nothing, source)
        )
    finish(staged, source, rows_in=rows_in, made_from=RETRIED)
    return Retried(quarantine.num_rows, quarantine.num_rows - len(refused))


def _map_again(refused: list[dict[str, object]], source: Source, staged: Staged) -> Iterator[Mapped]:
    columns = source.mapping.columns
    for block in (refused[at : at + readers.ROWS] for at in range(0, len(refused), readers.ROWS)):
        records = [from_row_json(str(row["row"])) for row in block]
        # a record that could not be split into columns has one, without a name, and no mapping mends it
        broken = [row for row, record in zip(block, records, strict=True) if list(record) == [""]]
        whole = [(row, record) for row, record in zip(block, records, strict=True) if list(record) != [""]]
        if whole:
            check_header(staged.quarantine, list(dict.fromkeys(k for _, record in whole for k in record)), columns)
        chunk = Chunk(
            readers.as_columns([record for _, record in whole], columns),
            np.array([row["raw_row"] for row, _ in whole], np.int64),
        )
        mapped = map_chunk(chunk, source)
        again = sorted([*mapped.refused, *map(_as_refusal, broken)], key=lambda refusal: refusal.number)
        yield Mapped(mapped.rows, mapped.withdrawals, again)


def _as_refusal(row: dict[str, object]) -> Refusal:
    problem = str(row["message"]).removeprefix(f"{row['raw_file']} row {row['raw_row']}: ")
    return Refusal(int(str(row["raw_row"])), None, str(row["rule"]), problem, None, str(row["row"]))
