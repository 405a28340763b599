"""A CSV file's text -> its header, then blocks of whole records and their number, without records with wrong quotes.

A quote that opens a value must close before a delimiter or a line end. Where it does not, a parser would join the
lines after it, whole records among them, to one value. The splitter rejects such a line and goes on at the next one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.reading.chunk import RejectedRow, SourceError, row_json
from pipeline.ingest.reading.files import MIB

LARGEST_ROW = 64 * MIB
_QUOTE, _LF, _CR = b'"\n\r'


@dataclass(frozen=True)
class Block:
    """Some records of a file, one after another.

    Attributes
    ----------
    data
        The records for the parser, each with its line end.
    records
        Number of lines that begin a record, rejected ones included.
    rejected
        Records that are not in `data`, by their number in the file.
    """

    data: bytes
    records: int
    rejected: list[RejectedRow]


@dataclass(frozen=True)
class _Fault:
    """The problem of a record that cannot be parsed, and the index of the line on which the quote opens."""

    line: int
    problem: str


class RecordSplitter:
    """Splits a file into its header and blocks of records.

    Parameters
    ----------
    stream
        The file as UTF-8.
    path
        Its name, for messages.
    form
        Its delimiter, and the largest number of line ends in a quoted value.
    block_bytes
        Approximate size of a block.
    """

    def __init__(self, stream: IO[bytes], path: Path, form: Format, block_bytes: int) -> None:
        self._stream, self._path, self._block_bytes = stream, path, block_bytes
        self._most_line_ends = form.quoted_newlines
        self._delimiter = form.delimiter.encode()[0]
        delimiter = re.escape(form.delimiter.encode())
        blanks = b" \t".replace(form.delimiter.encode(), b"")
        self._quoted = re.compile(rb'"(?:[^"]++|"")*+"[%b]*+(?=[%b\r\n])' % (blanks, delimiter))
        self._plain = re.compile(rb"[^%b\r\n]*+" % delimiter)
        self._width = 0
        self._rest = b""
        self._lines_done = self._records_done = 0
        self._ended = False

    def header(self) -> bytes:
        """Return the first line that is not empty, with the further lines of a quoted name in it.

        Raises
        ------
        SourceError
            The file has no such line, or a quote in it does not close.
        """
        while not self._ended:
            end = self._read_on()
            lines = _Lines(self._rest[:end])
            begun = np.flatnonzero(lines.stops > lines.starts)
            if not len(begun):
                self._done(end, len(lines.ends))
                continue
            first = int(begun[0])
            last = self._last_line(lines, first)
            if isinstance(last, _Fault):
                raise SourceError(f"{self._path}: the header, line {self._number(last.line)}: {last.problem}")
            if last is not None:
                header = lines.data[int(lines.starts[first]) : int(lines.ends[last]) + 1]
                self._done(int(lines.ends[last]) + 1, last + 1)
                return header
        raise SourceError(f"{self._path}: there is no header; expected the columns' names")

    def blocks(self, width: int) -> Iterator[Block]:
        """Yield the records after the header.

        Parameters
        ----------
        width
            Columns of the header. A quoted value of several lines counts as a stray quote where the record then has
            another number of columns, or a line in it has that number by itself.

        Raises
        ------
        SourceError
            A record is larger than `LARGEST_ROW`.
        """
        self._width = width
        if self._rest:  # what was read with the header, before more is
            yield from self._next(self._last_end())
        while not self._ended:
            yield from self._next(self._read_on())

    def _read_on(self) -> int:
        """Read the next piece; return the end of the last whole line."""
        piece = self._stream.read(self._block_bytes)
        self._rest += piece
        self._ended = not piece
        if len(self._rest) > LARGEST_ROW + self._block_bytes:
            raise SourceError(
                f"{self._path}: after record {self._records_done}, line {self._number(0)}: a record of more than "
                f"{LARGEST_ROW // MIB} MiB; expected rows of at most that, and quotes that close"
            )
        return self._last_end()

    def _last_end(self) -> int:
        if self._ended:
            if self._rest and self._rest[-1] not in (_LF, _CR):
                self._rest += b"\n"
            return len(self._rest)
        # a carriage return at the very end may be half of a line end
        return max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r", 0, max(len(self._rest) - 1, 0))) + 1

    def _next(self, end: int) -> Iterator[Block]:
        data = self._rest[:end]
        if not data:
            return
        if b'"' not in data:
            records, count = _count(data)
            block = Block(data, records, [])
            self._done(end, count)
        else:
            lines = _Lines(data)
            stop, block = self._without_faults(lines)
            self._done(int(lines.ends[stop - 1]) + 1 if stop else 0, stop)
        self._records_done += block.records
        if block.records:
            yield block

    def _done(self, end: int, lines: int) -> None:
        self._rest = self._rest[end:]
        self._lines_done += lines

    def _number(self, line: int) -> int:
        return self._lines_done + line + 1

    def _without_faults(self, lines: "_Lines") -> tuple[int, Block]:
        """Return the number of lines that are decided, and their records; later lines need more of the file."""
        begun = lines.stops > lines.starts
        before: np.ndarray = np.cumsum(begun) - begun
        inside = 0  # lines that are no record but part of a quoted value
        rejected: list[RejectedRow] = []
        kept: list[bytes] = []
        at, go_on, stop = 0, 0, len(lines.ends)
        for line in self._suspects(lines):
            if line < go_on:
                continue
            last = self._last_line(lines, line)
            if last is None:
                stop = line
                break
            if isinstance(last, _Fault):
                number = self._records_done + int(before[line]) - inside + 1
                text = lines.data[int(lines.starts[line]) : int(lines.stops[line])].decode("utf-8")
                problem = f"line {self._number(last.line)}: {last.problem}"
                rejected.append(RejectedRow(number, None, "unclosed_quote", problem, None, row_json({"": text})))
                kept.append(lines.data[at : int(lines.starts[line])])
                at, go_on = int(lines.ends[line]) + 1, line + 1
            else:
                inside += int(np.count_nonzero(begun[line + 1 : last + 1]))
                go_on = last + 1
        kept.append(lines.data[at : int(lines.ends[stop - 1]) + 1] if stop else b"")
        return stop, Block(b"".join(kept), int(np.count_nonzero(begun[:stop])) - inside, rejected)

    def _suspects(self, lines: "_Lines") -> list[int]:
        """Return the lines with other quotes than those that open after a delimiter and close before one.

        Every line that leaves a quoted value open is among them.
        """
        quotes = np.flatnonzero(lines.text == _QUOTE)
        line = np.searchsorted(lines.starts, quotes, side="right") - 1
        first = np.concatenate([[True], line[1:] != line[:-1]])
        nth = np.arange(len(quotes)) - np.maximum.accumulate(np.where(first, np.arange(len(quotes)), 0))
        allowed = np.zeros(256, bool)
        allowed[[_QUOTE, _LF, _CR, self._delimiter]] = True
        before = np.where(quotes > 0, lines.text[quotes - 1], _LF)
        after = lines.text[quotes + 1]  # there is one: data ends in a line end
        plain = allowed[np.where(nth % 2 == 0, before, after)]
        last = np.append(first[1:], True)
        return [int(suspect) for suspect in np.unique(line[~plain | (last & (nth % 2 == 0))])]

    def _last_line(self, lines: "_Lines", begin: int) -> int | _Fault | None:
        """Return the last line of the record that begins on a line; None where the splitter must read on."""
        at, column, line = int(lines.starts[begin]), 1, begin
        opened: tuple[int, int] | None = None  # line and column of the first quoted value with a line end
        inside: list[int] = []  # lines that are wholly in a quoted value
        while True:
            if lines.data[at] == _QUOTE:
                reach = min(line + self._most_line_ends, len(lines.ends) - 1)
                value = self._quoted.match(lines.data, at, int(lines.ends[reach]) + 1)
                if value is None:
                    if line + self._most_line_ends > reach and not self._ended:
                        return None
                    return _Fault(line, self._unclosed(column))
                at = value.end()
                closes = int(np.searchsorted(lines.ends, at))
                opened = (line, column) if opened is None and closes > line else opened
                inside += range(line + 1, closes)
                line = closes
            else:
                value = self._plain.match(lines.data, at)
                at = at if value is None else value.end()
            if lines.data[at] != self._delimiter:
                break
            at, column = at + 1, column + 1
        problem = self._several_records(lines, (begin, line), inside, column) if opened and self._width else None
        if opened and problem:
            return _Fault(opened[0], f"the quote that opens column {opened[1]} takes in line ends, and {problem}")
        return line

    def _unclosed(self, column: int) -> str:
        return (
            f"the quote that opens column {column} does not close; expected a quote before a delimiter or a line end, "
            f"within {self._most_line_ends} line ends (format.quoted_newlines)"
        )

    def _several_records(self, lines: "_Lines", ends: tuple[int, int], inside: list[int], columns: int) -> str | None:
        """Return the reason why a record of several lines is likely several records; None where it may be one."""
        if columns != self._width:
            return f"the record then has {columns} columns; expected {self._width}, as in the header"
        if self._width < 2:
            return None
        # the first line of a long note may well look whole by itself, and so may the last, but hardly both
        looks = (line for line in inside if self._columns_of(lines, line) == self._width)
        line = next(looks, ends[1] if all(self._columns_of(lines, end) == self._width for end in ends) else None)
        if line is None:
            return None
        return f"line {self._number(line)} among them has the columns of a record; expected a quote that closes before"

    def _columns_of(self, lines: "_Lines", line: int) -> int:
        at, end, columns = int(lines.starts[line]), int(lines.ends[line]) + 1, 1
        while True:
            value = self._quoted.match(lines.data, at, end) or self._plain.match(lines.data, at, end)
            at = at if value is None else value.end()
            if lines.data[at] != self._delimiter:
                return columns
            at, columns = at + 1, columns + 1


class _Lines:
    """The lines of a text that ends in a line end.

    A line runs from `starts` to `stops`; `ends` is the last byte of its line end.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.text = np.frombuffer(data, np.uint8)
        feed = self.text == _LF
        if b"\r" not in data:
            self.ends = np.flatnonzero(feed)
            self.stops = self.ends
        else:
            returns = self.text == _CR
            self.ends = np.flatnonzero(feed | (returns & ~np.append(feed[1:], False)))
            self.stops = self.ends - (feed[self.ends] & returns[self.ends - 1] & (self.ends > 0))
        self.starts = np.concatenate([[0], self.ends[:-1] + 1]) if len(self.ends) else self.ends


def _count(data: bytes) -> tuple[int, int]:
    """Return the numbers of filled lines and of all lines of a text without quotes."""
    returns = data.count(b"\r")
    lines = data.count(b"\n") + returns - (data.count(b"\r\n") if returns else 0)
    if not returns and b"\n\n" not in data and not data.startswith(b"\n"):
        return lines, lines
    text = np.frombuffer(data, np.uint8)
    ends = (text == _LF) | (text == _CR)
    return int(np.count_nonzero(~ends & np.concatenate([[True], ends[:-1]]))), lines
