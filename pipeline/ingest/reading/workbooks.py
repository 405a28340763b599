"""An Excel workbook -> chunks of text columns, as from a CSV of the same table.

openpyxl reads it row by row. python-calamine is faster, but it keeps a sheet's whole rectangle in memory: 4 GiB for
two cells far apart. It also gives an empty text for a formula without a result.
"""

import datetime
import itertools
import warnings
import zipfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.reading.chunk import Chunk, SourceError
from pipeline.ingest.reading.counting import Counts
from pipeline.ingest.reading.files import check_size
from pipeline.ingest.reading.header import check_header, distinct
from pipeline.ingest.reading.sheet_xml import Sheet, SheetError, column_letters, covering, examine, holds_rows
from pipeline.ingest.reading.unreadable import unreadable

ROWS = 65_536
CELLS = 4_000_000
"""Rows and cells in a chunk of a workbook, at most."""

DAYS_TO_1904 = 1462
"""Day numbers of a workbook count from 1900, or from 1904, as Excel on the Macintosh did."""


def read_excel(path: Path, form: Format, columns: list[str], serials: Iterable[str]) -> Generator[Chunk, None, Counts]:
    """Read one sheet of an .xlsx workbook: the first row is the header, rows without any value are skipped.

    All cells in the file count, hidden and filtered ones too; the stated size of the sheet does not. Where a
    cell has no value that can be read, its text is the reason (`unreadable`).

    Parameters
    ----------
    path
        The workbook.
    form
        Its sheet; not needed where only the first sheet holds rows.
    columns
        The columns that the mapping reads.
    serials
        The columns with numbers that the mapping reads as dates. In the chunks they count from 1900, also where the
        workbook counts from 1904.

    Raises
    ------
    SourceError
        The file is no workbook that can be read, or has no such sheet. No sheet is named, and others than the first
        hold rows. Or openpyxl gives other rows and cells than the sheet holds.
    """
    with path.open("rb") as file, ExitStack() as stack:
        with _reading(path):
            archive = stack.enter_context(zipfile.ZipFile(file))
            check_size(path, form, sum(entry.file_size for entry in archive.infolist()))
            workbook = _workbook(file)
            chosen = _chosen(workbook, path, form.sheet)
            if form.sheet is None:
                _refuse_rows_elsewhere(workbook, archive, path)
            with _xml(archive, chosen) as stream:
                sheet = examine(stream)
        from_1904 = serials if chosen.parent.epoch.year == 1904 else ()
        done = yield from _sheet_chunks(_rows(chosen, sheet, path), sheet, path, columns, from_1904)
        return Counts(done, sheet.rows - 1, "rows below the header")


def rows_by_sheet(path: Path, form: Format) -> dict[str, int]:
    """Return the number of rows that hold something, by sheet, in the workbook's order.

    Raises
    ------
    SourceError
        The file is no workbook that can be read.
    """
    with path.open("rb") as file, _reading(path), zipfile.ZipFile(file) as archive:
        check_size(path, form, sum(entry.file_size for entry in archive.infolist()))
        rows = {}
        for sheet in _workbook(file).worksheets:
            with _xml(archive, sheet) as stream:
                rows[sheet.title] = examine(stream).rows
        return rows


def _workbook(file: IO[bytes]) -> Any:
    import openpyxl  # slow to import, and few sources need it

    return openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)


def _xml(archive: zipfile.ZipFile, sheet: Any) -> IO[bytes]:
    return archive.open(sheet._worksheet_path)  # openpyxl has no public name for it


def _chosen(workbook: Any, path: Path, name: str | None) -> Any:
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    if not sheets or (name is not None and name not in sheets):
        raise SourceError(f"{path}: no sheet {name or 'of cells'!r} (has: {', '.join(workbook.sheetnames)})")
    chosen = workbook.worksheets[0] if name is None else sheets[name]
    chosen.reset_dimensions()
    return chosen


def _refuse_rows_elsewhere(workbook: Any, archive: zipfile.ZipFile, path: Path) -> None:
    first, *further = workbook.worksheets
    filled = []
    for sheet in further:
        with _xml(archive, sheet) as stream:
            if holds_rows(stream):
                filled.append(repr(sheet.title))
    if filled:
        raise SourceError(
            f"{path}: besides the first sheet, {first.title!r}, rows stand on {', '.join(filled)}; expected "
            "format.sheet to name the sheet to be read"
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts of the workbook that hold no cells, and of dates out of range
            yield
    except SourceError:
        raise
    except SheetError as error:
        raise SourceError(f"{path}: {error}") from None
    except Exception as error:  # openpyxl raises whatever its parts do, TypeError for a style that is empty
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise SourceError(f"{path}: not an .xlsx workbook that can be read ({problem})") from None


def _values(chosen: Any, path: Path) -> Iterator[tuple[Any, ...]]:
    rows = chosen.iter_rows(values_only=True)
    while True:
        with _reading(path):
            row = next(rows, None)
        if row is None:
            return
        yield row


def _rows(chosen: Any, sheet: Sheet, path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Yield each row that holds something, with its number in the sheet; compare openpyxl's count with the XML's."""
    rows = cells = 0
    for number, values in enumerate(_values(chosen, path), start=1):
        row = list(values)
        for column, formula in sheet.formulas.get(number, {}).items():
            row += [None] * (column - len(row))
            where = f"{column_letters(column)}{number}"
            row[column - 1] = unreadable(
                "formula", f"{where} holds {formula} without a result; expected a value: have it saved by Excel"
            )
        filled = len(row) - row.count(None)
        if filled:
            rows, cells = rows + 1, cells + filled
            yield number, row
    if (rows, cells) != (sheet.rows, sheet.cells):
        raise SourceError(
            f"{path}: sheet {chosen.title!r}: openpyxl reads {cells} cells in {rows} rows; the sheet holds "
            f"{sheet.cells} in {sheet.rows}: have it saved again by Excel or LibreOffice"
        )


def _sheet_chunks(
    rows: Iterator[tuple[int, list[Any]]], sheet: Sheet, path: Path, columns: list[str], from_1904: Iterable[str]
) -> Generator[Chunk, None, int]:
    """Yield the rows below the header; return their number."""
    _, first = next(rows, (0, []))
    if not first:
        raise SourceError(f"{path}: the sheet is empty; expected the columns' names in its first row")
    header = ["" if value is None else str(value) for value in _fitted(first, max(sheet.width, len(first)))]
    check_header(path, header, columns)
    at_most = max(1, min(ROWS, CELLS // len(header)))
    merged = {header.index(name): covering(sheet.merged, header.index(name) + 1) for name in columns}
    shifted = {header.index(name) for name in from_1904}
    done = 0
    while block := list(itertools.islice(rows, at_most)):
        fitted = [_fitted(row, len(header)) for _, row in block]
        for row in fitted:
            for index in shifted:
                row[index] = _since_1900(row[index])
        texts = [[_cell(value) for value in column] for column in zip(*fitted, strict=True)]
        for index, area_at in merged.items():
            letters = column_letters(index + 1)
            texts[index] = [
                text if (area := area_at(number)) is None else _in_merged_cells(f"{letters}{number}", area)
                for text, (number, _) in zip(texts[index], block, strict=True)
            ]
        arrays = [pa.array(column, pa.string()) for column in texts]
        numbers = np.arange(done + 1, done + 1 + len(block), dtype=np.int64)
        done += len(block)
        yield Chunk(pa.RecordBatch.from_arrays(arrays, names=distinct(header)), numbers)
    return done


def _in_merged_cells(cell: str, area: str) -> str:
    return unreadable("merged_cells", f"{cell} is one of the merged cells {area}; expected a cell of the row's own")


def _since_1900(value: Any) -> Any:
    """Return a day number of a workbook that counts from 1904 as one that counts from 1900."""
    return value + DAYS_TO_1904 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _fitted(row: list[Any], width: int) -> list[Any]:
    return row + [None] * (width - len(row))


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # Excel shows 5, and keeps 5.0
    return str(value)
