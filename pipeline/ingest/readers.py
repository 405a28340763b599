"""One file in any format that a mapping can name -> chunks of text columns, in the file's order."""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.ingest.chunk import Chunk, Refusal, SourceError, row_json
from pipeline.ingest.entries import Format
from pipeline.ingest.files import MIB, open_utf8
from pipeline.ingest.geojson import features, flat
from pipeline.ingest.header import check_header, distinct
from pipeline.ingest.workbooks import read_excel, read_parquet

BLOCK = 4 * MIB
"""Bytes of CSV that are read at a time."""

LARGEST_ROW = 64 * MIB
ROWS = 20_000
"""Records that make a chunk, where the format is read record by record."""


def read(path: Path, form: Format, columns: list[str], *, serials: Iterable[str] = ()) -> Iterator[Chunk]:
    """Read a file in chunks.

    Parameters
    ----------
    columns
        The columns that the mapping reads; a chunk has them and every other column of the file.
    serials
        Those of them that it reads as a workbook's day numbers.

    Raises
    ------
    SourceError
        The file as a whole cannot be read, or lacks a column.
    """
    reading = {"csv": _read_csv, "parquet": read_parquet}.get(form.kind, _read_records)
    if not path.is_file():
        raise SourceError(f"{path}: no such file; expected the file that the mapping names under `file:`")
    if path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty; expected {form.kind}")
    if form.kind == "excel":
        return read_excel(path, form, columns, serials)
    return reading(path, form, columns)


def _read_csv(path: Path, form: Format, columns: list[str]) -> Iterator[Chunk]:
    names, only_header = _csv_header(path, form)
    check_header(path, names, columns)
    if only_header:
        return
    block = BLOCK
    done = 0  # records given so far: a file with a row longer than a block is read again from there
    while True:
        try:
            for chunk in _csv_chunks(path, form, distinct(names), block):
                if chunk.last > done:
                    yield chunk.after(done)
                    done = chunk.last
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block >= LARGEST_ROW:
                problem = " ".join(str(error).split())
                raise SourceError(
                    f"{path}: after record {done}: {problem}; expected rows of at most {LARGEST_ROW // MIB} MiB and "
                    "quotes that close"
                ) from None
            block = LARGEST_ROW


def _csv_chunks(path: Path, form: Format, names: list[str], block: int) -> Iterator[Chunk]:
    malformed: list[Any] = []

    def skip(row: Any) -> str:
        malformed.append(row)
        return "skip"

    with open_utf8(path, form) as stream:
        batches = pa_csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            # one thread: only then does Arrow number the rows that it skips; it is not the slower part
            read_options=pa_csv.ReadOptions(
                column_names=names, skip_rows_after_names=1, block_size=block, use_threads=False
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=form.delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        last = 0
        for batch in batches:
            refused = [_malformed(row) for row in malformed]
            malformed.clear()
            numbers = _numbers(last, batch.num_rows, [refusal.number for refusal in refused])
            last += batch.num_rows + len(refused)
            yield Chunk(batch, numbers, refused, stream.spoilt)
        if malformed:
            yield Chunk(_no_rows(names), np.empty(0, np.int64), [_malformed(row) for row in malformed])


def _numbers(last: int, rows: int, skipped: list[int]) -> np.ndarray:
    """Return the numbers of the records after `last`, leaving out the numbers that were skipped."""
    numbers = np.arange(last + 1, last + 1 + rows + len(skipped), dtype=np.int64)
    return numbers[~np.isin(numbers, skipped)] if skipped else numbers


def _malformed(row: Any) -> Refusal:
    problem = f"{row.actual_columns} values; expected {row.expected_columns}, as in the header"
    # the handler counts the header as row 1
    return Refusal(row.number - 1, None, "column_count", problem, None, row_json({"": row.text}))


def _csv_header(path: Path, form: Format) -> tuple[list[str], bool]:
    with open_utf8(path, form) as stream:
        head = stream.read(4 * MIB)
    lines = io.StringIO(head.decode("utf-8", "replace"), newline="")
    try:
        names = next((row for row in csv.reader(lines, delimiter=form.delimiter) if row), [])
        more = bool(lines.read().strip("\r\n")) or len(head) == 4 * MIB
    except csv.Error as error:
        raise SourceError(f"{path}: the header cannot be read ({error})") from None
    if not names:
        raise SourceError(f"{path}: there is no header; expected the columns' names")
    return names, not more


def _read_records(path: Path, form: Format, columns: list[str]) -> Iterator[Chunk]:
    """Read JSON Lines and GeoJSON: objects, of which each may have other columns."""
    with open_utf8(path, form) as stream:
        records = _json_lines(stream) if form.kind == "jsonl" else features(stream, path, form.points)
        number = 0
        seen: set[str] = set()
        while block := list(itertools.islice(records, ROWS)):
            numbered = list(enumerate(block, start=number + 1))
            number += len(block)
            whole = [(n, record) for n, record in numbered if isinstance(record, dict)]
            seen.update(*(record for _, record in whole))
            yield Chunk(
                as_columns([record for _, record in whole], columns),
                np.array([n for n, _ in whole], np.int64),
                [_not_json(n, record) for n, record in numbered if isinstance(record, str)],
            )
    if seen:
        absent = [column for column in columns if column not in seen]
        if absent:
            check_header(path, sorted(seen), absent)


def _json_lines(stream: IO[bytes]) -> Iterator[dict[str, Any] | str]:
    for line in stream:
        if not line.strip():
            continue
        try:
            # numbers stay as the partner wrote them
            value = json.loads(line.decode("utf-8"), parse_float=str, parse_int=str, parse_constant=str)
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # an escape may make half a character
        except (ValueError, RecursionError):
            value = None
        yield flat(value) if isinstance(value, dict) else line.decode("utf-8")


def as_columns(records: list[dict[str, Any]], columns: list[str]) -> pa.RecordBatch:
    """Return records of which each may have other columns as a batch that has them all, and `columns` in any case."""
    names = list(dict.fromkeys(itertools.chain(*records, columns)))
    arrays = [pa.array([_as_text(record.get(name)) for record in records], pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _not_json(number: int, text: str) -> Refusal:
    return Refusal(
        number, None, "not_json", "the record is not a JSON object", None, row_json({"": text.rstrip("\r\n")})
    )


def _no_rows(names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], pa.string()) for _ in names], names=names)
