"""One file in any format of a mapping -> chunks of text columns, in the file's order."""

import csv
import io
import itertools
import json
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.reading.chunk import Chunk, RejectedRow, SourceError, row_json
from pipeline.ingest.reading.counting import Counts, FeatureCounter, LineCounter
from pipeline.ingest.reading.files import MIB, open_utf8
from pipeline.ingest.reading.geojson import features, flat
from pipeline.ingest.reading.header import check_header, distinct
from pipeline.ingest.reading.parquet import read_parquet
from pipeline.ingest.reading.quotes import Block, RecordSplitter
from pipeline.ingest.reading.workbooks import read_excel

BLOCK = 4 * MIB
"""Bytes of CSV that are read at a time."""

ROWS = 20_000
"""Records in a chunk of JSON Lines or GeoJSON."""


def read(path: Path, form: Format, columns: list[str], *, serials: Iterable[str] = ()) -> Iterator[Chunk]:
    """Read a file in chunks, and count its records twice.

    The reader of a format yields chunks. It returns the number of records, lines or features from its parser, and
    that of a count without the parser.

    Parameters
    ----------
    path
        The file.
    form
        Its format.
    columns
        The columns that the mapping reads; a chunk has them and every other column of the file.
    serials
        Those of `columns` that contain a workbook's day numbers.

    Raises
    ------
    SourceError
        The file as a whole cannot be read, lacks a column, or the two counts differ.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file; expected the file that the mapping names under `file:`")
    if path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty; expected {form.kind}")
    if form.kind == "excel":
        return _compare_counts(path, read_excel(path, form, columns, serials))
    reader = {"csv": _read_csv, "parquet": read_parquet}.get(form.kind, _read_records)
    return _compare_counts(path, reader(path, form, columns))


def _compare_counts(path: Path, chunks: Generator[Chunk, None, Counts]) -> Iterator[Chunk]:
    given, counted, units = yield from chunks
    if given != counted:
        raise SourceError(
            f"{path}: the reader gave {given:,} {units}, a second count {counted:,}; expected the same number, so that "
            "none is lost. Look for quotes or brackets that do not close, or have the file sent again"
        )


def _read_csv(path: Path, form: Format, columns: list[str]) -> Generator[Chunk, None, Counts]:
    with open_utf8(path, form) as stream:
        splitter = RecordSplitter(stream, path, form, BLOCK)
        names = _csv_header(path, splitter.header(), form)
        check_header(path, names, columns)
        names = distinct(names)
        counted = done = 0
        for block in splitter.blocks(len(names)):
            chunk = _csv_chunk(path, block, names, form, done=done, suspect=stream.suspect)
            counted += block.records
            done += chunk.records
            yield chunk
    return Counts(done, counted, "records")


def _csv_chunk(path: Path, block: Block, names: list[str], form: Format, *, done: int, suspect: bool) -> Chunk:
    """Parse whole records; `done` records of the file come before them."""
    malformed: list[Any] = []

    def skip(row: Any) -> str:
        malformed.append(row)
        return "skip"

    if not block.data.strip(b"\r\n"):
        return Chunk(_no_rows(names), np.empty(0, np.int64), block.rejected)
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(block.data),
            # one thread: only then does Arrow number the rows that it skips; it is not the slower part
            read_options=pa_csv.ReadOptions(column_names=names, block_size=len(block.data) + 1, use_threads=False),
            parse_options=pa_csv.ParseOptions(
                delimiter=form.delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path}: after record {done}: {' '.join(str(error).split())}; expected CSV") from None
    cut = np.array([row.number for row in block.rejected], np.int64)
    # Arrow numbers the records of the block: those that the splitter rejected before each come on top
    parsed = np.array([row.number for row in malformed], np.int64)
    parsed += done + np.searchsorted(cut - done - np.arange(len(cut)), parsed, side="right")
    rejected = block.rejected + [_wrong_column_count(row, int(n)) for row, n in zip(malformed, parsed, strict=True)]
    numbers = _numbers(done, table.num_rows, np.concatenate([cut, parsed]))
    batch = next(iter(table.combine_chunks().to_batches()), _no_rows(names))
    return Chunk(batch, numbers, sorted(rejected, key=lambda row: row.number), suspect)


def _numbers(last: int, rows: int, rejected: np.ndarray) -> np.ndarray:
    """Return the numbers of the records after `last` that are not rejected."""
    numbers = np.arange(last + 1, last + 1 + rows + len(rejected), dtype=np.int64)
    return numbers[~np.isin(numbers, rejected)] if len(rejected) else numbers


def _wrong_column_count(row: Any, number: int) -> RejectedRow:
    problem = f"{row.actual_columns} values; expected {row.expected_columns}, as in the header"
    return RejectedRow(number, None, "column_count", problem, None, row_json({"": row.text}))


def _csv_header(path: Path, header: bytes, form: Format) -> list[str]:
    lines = io.StringIO(header.decode("utf-8"), newline="")
    try:
        return next(csv.reader(lines, delimiter=form.delimiter))
    except csv.Error as error:
        raise SourceError(f"{path}: the header cannot be read ({error})") from None


def _read_records(path: Path, form: Format, columns: list[str]) -> Generator[Chunk, None, Counts]:
    """Read JSON Lines and GeoJSON: objects, of which each may have other columns."""
    counter = LineCounter() if form.kind == "jsonl" else FeatureCounter()
    with open_utf8(path, form, counter.feed) as stream:
        records = (
            enumerate(_json_lines(stream), start=1) if form.kind == "jsonl" else features(stream, path, form.points)
        )
        number = units = 0
        names: set[str] = set()
        while block := list(itertools.islice(records, ROWS)):
            units = block[-1][0]
            numbered = list(enumerate((record for _, record in block), start=number + 1))
            number += len(block)
            readable = [(n, record) for n, record in numbered if isinstance(record, dict)]
            names.update(*(record for _, record in readable))
            yield Chunk(
                as_columns([record for _, record in readable], columns),
                np.array([n for n, _ in readable], np.int64),
                [_not_json(n, record) for n, record in numbered if isinstance(record, str)],
            )
        while stream.read(MIB):  # the counter needs the rest of the file too
            pass
    absent = [column for column in columns if column not in names]
    if names and absent:
        check_header(path, sorted(names), absent)
    return Counts(units, counter.count, "lines" if form.kind == "jsonl" else "features")


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
    """Return records as a batch that has every column of some record, and all of `columns`."""
    names = list(dict.fromkeys(itertools.chain(*records, columns)))
    arrays = [pa.array([_as_text(record.get(name)) for record in records], pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _not_json(number: int, text: str) -> RejectedRow:
    return RejectedRow(
        number, None, "not_json", "the record is not a JSON object", None, row_json({"": text.rstrip("\r\n")})
    )


def _no_rows(names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], pa.string()) for _ in names], names=names)
