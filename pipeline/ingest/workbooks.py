"""Parquet files and Excel workbooks -> chunks of text columns, as the CSV of the same table would give them."""

import datetime
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.ingest.chunk import Chunk, SourceError
from pipeline.ingest.entries import Format
from pipeline.ingest.files import MIB
from pipeline.ingest.header import check_header, distinct

ROWS = 65_536


def read_parquet(path: Path, form: Format, columns: list[str]) -> Iterator[Chunk]:
    """Read a Parquet file; times become ISO 8601, numbers their shortest text."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path}: not a Parquet file ({' '.join(str(error).split())})") from None
    with file:
        names = file.schema_arrow.names
        check_header(path, names, columns)
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        _check_size(path, form, size)
        done = 0
        for batch in file.iter_batches(batch_size=ROWS):
            arrays = [_as_text(array) for array in batch.columns]
            numbers = np.arange(done + 1, done + 1 + batch.num_rows, dtype=np.int64)
            done += batch.num_rows
            yield Chunk(pa.RecordBatch.from_arrays(arrays, names=distinct(names)), numbers)


def read_excel(path: Path, form: Format, columns: list[str]) -> Iterator[Chunk]:
    """Read one sheet of an .xlsx workbook: its first row is the header, rows without any value are skipped."""
    import openpyxl  # slow to import, and few sources need it

    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_size(path, form, sum(entry.file_size for entry in archive.infolist()))
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError) as error:  # SyntaxError: of its XML
            raise SourceError(f"{path}: not an .xlsx workbook ({error})") from None
        if form.sheet is not None and form.sheet not in workbook.sheetnames:
            raise SourceError(f"{path}: no sheet {form.sheet!r} (has: {', '.join(workbook.sheetnames)})")
        sheet = workbook[form.sheet] if form.sheet is not None else workbook.worksheets[0]
        rows = (row for row in sheet.iter_rows(values_only=True) if any(value is not None for value in row))
        yield from _sheet_chunks(rows, path, columns)


def _sheet_chunks(rows: Iterator[tuple[Any, ...]], path: Path, columns: list[str]) -> Iterator[Chunk]:
    header = ["" if value is None else str(value) for value in next(rows, ())]
    if not header:
        raise SourceError(f"{path}: the sheet is empty; expected the columns' names in its first row")
    check_header(path, header, columns)
    done = 0
    while block := list(itertools.islice(rows, ROWS)):
        values = zip(*(_fitted(row, len(header)) for row in block), strict=True)
        arrays = [pa.array([_cell(value) for value in column], pa.string()) for column in values]
        numbers = np.arange(done + 1, done + 1 + len(block), dtype=np.int64)
        done += len(block)
        yield Chunk(pa.RecordBatch.from_arrays(arrays, names=distinct(header)), numbers)


def _check_size(path: Path, form: Format, size: int) -> None:
    if size > form.most_mib * MIB:
        raise SourceError(
            f"{path}: {size / MIB:.0f} MiB when unpacked; expected at most format.limit_mib = {form.most_mib:g}"
        )


def _as_text(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _as_text(array.dictionary_decode())
    if pa.types.is_timestamp(kind):
        form = "%Y-%m-%dT%H:%M:%S" + ("Z" if kind.tz else "")
        return pc.strftime(array.cast(pa.timestamp("us", tz="UTC" if kind.tz else None)), format=form)
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    return array.cast(pa.string())


def _fitted(row: tuple[Any, ...], width: int) -> tuple[Any, ...]:
    return (*row[:width], *[None] * (width - len(row)))


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # Excel shows 5, and keeps 5.0
    return str(value)
