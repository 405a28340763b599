"""The bytes of a text file, as they go by -> its number of records, counted without the reader's parser.

A parser does not report what it skipped. These counters work without it. They count lines that are not blank, and the
lists in a feature's text. By the depth of brackets, they count the members of a GeoJSON file's list of features.
"""

import re
from typing import Any, NamedTuple

import numpy as np

_BLANKS = b" \t\r\x0b\x0c"
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_FEATURES = re.compile(rb'"features"\s*:\s*\[')
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"{[")] = 1
_STEPS[list(b"}]")] = -1
_IS_BLANK = np.zeros(256, bool)
_IS_BLANK[list(_BLANKS + b"\n")] = True


_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_LIST = re.compile(r"\[\s*(?=[^\s\[\]])")


class Counts(NamedTuple):
    """The number of units of a file that the reader gave, and the number by the second count."""

    given: int
    counted: int
    units: str
    """The unit, for messages: records, lines, features."""


def lists_in_text(text: str) -> int:
    """Count the lists in a JSON text that do not begin with a list, as a position, without decoding it.

    Examples
    --------
    >>> lists_in_text('{"a": "[1]", "coordinates": [[[1, 2], [3, 4]], [], [[5, 6]]]}')
    3
    """
    return sum(1 for _ in _LIST.finditer(_TEXT.sub('""', text)))


def lists_in(value: Any) -> int:
    """Count the lists in a decoded value that do not begin with a list.

    Examples
    --------
    >>> lists_in({"a": "[1]", "coordinates": [[["1", "2"], ["3", "4"]], [], [["5", "6"]]]})
    3
    """
    count, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            count += bool(value) and not isinstance(value[0], list)
            waiting.extend(value)
    return count


class LineCounter:
    """Counts the lines with more than blanks."""

    def __init__(self) -> None:
        self.count = 0
        self._inside = False

    def feed(self, data: bytes) -> None:
        """Count in the next bytes of the file."""
        text = np.frombuffer(data.translate(None, _BLANKS), np.uint8)
        if not len(text):
            return
        filled = text != 10
        self.count += int(np.count_nonzero(filled[1:] & ~filled[:-1])) + int(filled[0] and not self._inside)
        self._inside = bool(filled[-1])


class FeatureCounter:
    """Counts the members of every list under a key "features" that is not inside another such list."""

    def __init__(self) -> None:
        self._count = 0
        self._pending = b""
        self._in_text = False
        self._depth = 0
        self._list_depth: int | None = None
        self._after_comma = True

    def feed(self, data: bytes) -> None:
        """Count in the next bytes of the file."""
        self._pending += data
        # no escape and no key of a list ends in one of these, so none is cut in two
        end = max(self._pending.rfind(mark) for mark in (b",", b"}", b"]")) + 1
        if end:
            self._scan(self._pending[:end])
            self._pending = self._pending[end:]

    @property
    def count(self) -> int:
        """The members so far."""
        if self._pending:
            self._scan(self._pending)
            self._pending = b""
        return self._count

    def _scan(self, data: bytes) -> None:
        plain = _ESCAPED.sub(b"__", data) if b"\\" in data else data
        text = np.frombuffer(plain, np.uint8)
        quotes = text == 34
        in_text = (np.cumsum(quotes, dtype=np.int32) + self._in_text) % 2 == 1
        structure = ~in_text & ~quotes
        steps = np.where(structure, _STEPS[text], 0)
        after = self._depth + np.cumsum(steps, dtype=np.int32)
        before = after - steps
        lists = [match.end() - 1 for match in _FEATURES.finditer(plain) if structure[match.end() - 1]]
        at = 0
        while True:
            if self._list_depth is None:
                begin = next((start for start in lists if start >= at), None)
                if begin is None:
                    break
                self._list_depth, self._after_comma, at = int(after[begin]), True, begin + 1
            ends = np.flatnonzero(after[at:] < self._list_depth)
            end = at + int(ends[0]) if len(ends) else len(text)
            in_list = at + np.flatnonzero((before[at:end] == self._list_depth) & ~_IS_BLANK[text[at:end]])
            self._count_members(text[in_list], structure[in_list])
            if not len(ends):
                break
            self._list_depth, at = None, end + 1
        self._in_text, self._depth = bool(in_text[-1]), int(after[-1])

    def _count_members(self, text: np.ndarray, structure: np.ndarray) -> None:
        """Count the members that begin among the characters of a list that are in no deeper list."""
        if not len(text):
            return
        commas = (text == 44) & structure
        opening = (_STEPS[text] > 0) & structure
        after_comma = np.concatenate([[self._after_comma], commas[:-1]])
        self._count += int(np.count_nonzero(~commas & (after_comma | opening)))
        self._after_comma = bool(commas[-1])
