"""The XML of one worksheet -> its size, formulas without a result, and merged cells, which openpyxl does not give.

A streaming parser reads it before openpyxl does, so that the two counts check each other.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

from pipeline.ingest.reading.files import MIB

LAST_ROW, LAST_COLUMN = 1_048_576, 16_384
"""Limits of a worksheet in Excel."""

_LONGEST_FORMULA = 200
_REFERENCE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")


class SheetError(ValueError):
    """A worksheet cannot be read whole."""


@dataclass(frozen=True)
class MergedCells:
    """A block of merged cells; rows and columns count from 1, both ends included."""

    name: str
    first_row: int
    first_column: int
    last_row: int
    last_column: int


@dataclass
class Sheet:
    """The content of a worksheet."""

    rows: int = 0
    """Rows with a cell that holds something."""
    cells: int = 0
    """Cells that hold a value, or a formula without a result."""
    width: int = 0
    """The last column that holds something, from 1."""
    formulas: dict[int, dict[int, str]] = field(default_factory=dict)
    """Row -> column -> the formula of a cell that has no stored result; both count from 1."""
    merged: list[MergedCells] = field(default_factory=list)


def examine(stream: IO[bytes]) -> Sheet:
    """Read a worksheet's XML.

    Raises
    ------
    SheetError
        It is not XML, declares entities, or its rows or cells do not come in rising order: a reader would lose some.
    """
    *_, sheet = _parse(stream)
    return sheet


def holds_rows(stream: IO[bytes]) -> bool:
    """Return whether a worksheet has a cell that holds something; read no further than that cell.

    Raises
    ------
    SheetError
        As `examine`.
    """
    return any(sheet.cells for sheet in _parse(stream))


def _parse(stream: IO[bytes]) -> Iterator[Sheet]:
    """Yield the content so far after each piece of a worksheet's XML."""
    reading = _Reading()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reading.start, reading.end
    parser.CharacterDataHandler = reading.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        while piece := stream.read(MIB):
            parser.Parse(piece, False)
            yield reading.sheet
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise SheetError(f"the sheet's XML is broken: {error}") from None
    yield reading.sheet


def column_letters(column: int) -> str:
    """Return the name of a column, by its number from 1.

    Examples
    --------
    >>> column_letters(1), column_letters(28)
    ('A', 'AB')
    """
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


class _Reading:
    """The handlers of the parser, and its place in the sheet."""

    def __init__(self) -> None:
        self.sheet = Sheet()
        self._row = self._column = 0
        self._row_holds = False
        self._kind = ""
        self._formula: str | None = None
        self._value: str | None = None
        self._text: list[str] | None = None
        self._inline = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name == "c":
            self._column = _rising(_column_of(attributes.get("r")), self._column, LAST_COLUMN, f"row {self._row}: cell")
            self._kind = attributes.get("t", "n")
            self._formula = self._value = None
            self._inline = False
        elif name in ("v", "f"):
            self._text = []
        elif name == "is":
            self._inline = True
        elif name == "row":
            self._row = _rising(_row_of(attributes.get("r")), self._row, LAST_ROW, "row")
            self._column, self._row_holds = 0, False
        elif name == "mergeCell":
            self.sheet.merged.append(_area(attributes.get("ref", "")))

    def characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name in ("v", "f") and self._text is not None:
            text, self._text = "".join(self._text), None
            if name == "v":
                self._value = text
            else:
                self._formula = text
        elif name == "c":
            self._end_cell()
        elif name == "row":
            self.sheet.rows += self._row_holds

    def _end_cell(self) -> None:
        # a formula whose result is the empty text has one: t="str" and an empty value
        no_result = self._formula is not None and not self._value and (self._kind != "str" or self._value is None)
        if no_result and not (self._kind == "inlineStr" and self._inline):
            shown = f"={self._formula[:_LONGEST_FORMULA]}" if self._formula else "a shared formula"
            self.sheet.formulas.setdefault(self._row, {})[self._column] = shown
        elif not (self._inline if self._kind == "inlineStr" else self._value):
            return
        self.sheet.cells += 1
        self.sheet.width = max(self.sheet.width, self._column)
        self._row_holds = True


def covering(areas: Iterable[MergedCells], column: int) -> Callable[[int], str | None]:
    """Return a function: row -> name of the merged cells there in a column. Call it with rows in rising order."""
    inside = sorted(
        (area for area in areas if area.first_column <= column <= area.last_column), key=lambda area: area.first_row
    )
    waiting = iter([*inside, MergedCells("", LAST_ROW + 1, 0, 0, 0)])
    following, reach = next(waiting), MergedCells("", 0, 0, 0, 0)

    def at(row: int) -> str | None:
        nonlocal following, reach
        while following.first_row <= row:
            reach, following = max(reach, following, key=lambda area: area.last_row), next(waiting)
        return reach.name if row <= reach.last_row else None

    return at


def _refuse_doctype(*_: object) -> None:
    raise SheetError("the sheet's XML has a document type declaration; expected none")


def _rising(stated: int | None, before: int, last: int, what: str) -> int:
    number = before + 1 if stated is None else stated
    if not before < number <= last:
        raise SheetError(f"the sheet's {what} {number} comes after {before}; expected rising numbers up to {last}")
    return number


def _row_of(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,7}", text):
        raise SheetError(f"the sheet: a row is numbered {text[:20]!r}; expected 1 to {LAST_ROW}")
    return int(text)


def _column_of(reference: str | None) -> int | None:
    return None if reference is None else _cell(reference)[1]


def _cell(reference: str) -> tuple[int, int]:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SheetError(f"the sheet: a cell is named {reference[:20]!r}; expected a name as B7")
    column = 0
    for letter in match[1].upper():
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(match[2]), column


def _area(reference: str) -> MergedCells:
    first, _, last = reference.partition(":")
    (top, left), (bottom, right) = _cell(first), _cell(last or first)
    return MergedCells(reference, top, left, bottom, right)
