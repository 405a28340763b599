"""One record as a partner sends it -> the inputs of a model as float64, or a `RecordError`."""

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from math import isnan, nan
from operator import le
from typing import Any

import numpy as np

from threat_scorer.errors import RecordError
from threat_scorer.parsing import strict_json
from threat_scorer.scoring.contract import Input
from threat_scorer.scoring.float32 import LARGEST_FLOAT32, LARGEST_INTEGER

LONGEST_KEY = 80
MOST_OTHER_KEYS = 256
"""Largest number of keys of a record that are no input: each new one costs a search for near misses."""

_FLOAT = {float}
_le: Callable[[Any, Any], bool] = le  # typed for any value in a record


class RecordReader:
    """Reads records for one model.

    Parameters
    ----------
    inputs
        As the model's contract declares them.
    """

    def __init__(self, inputs: tuple[Input, ...]) -> None:
        self._inputs = inputs
        self._order = [entry.name for entry in inputs]
        self._plan = [(entry.name, *entry.limits, entry.required) for entry in inputs]
        self._low, self._high = ([entry.limits[side] for entry in inputs] for side in (0, 1))
        self._names = frozenset(entry.name for entry in inputs)
        # a feed repeats its keys, and looking for near misses is slow: those seen to be harmless are kept
        self._harmless = set(self._names)

    def read(self, record: Mapping[str, Any]) -> tuple[list[float], tuple[str, ...]]:
        """Read one record.

        Returns
        -------
        values : list of float
            One for each input, in the contract's order; NaN where an optional one is missing.
        out_of_range : tuple of str
            Names of the inputs whose value lies outside the contract's range.

        Raises
        ------
        RecordError
            A required input is missing, a value is not a number, or a key looks like an input misspelt.
        """
        if not self._harmless.issuperset(record):
            self._check_keys(record)
        # most records are whole and within range: checked in C, as a Python loop over 200 inputs outlasts the trees
        whole: list[Any] = list(map(record.get, self._order))
        if _FLOAT.issuperset(map(type, whole)) and all(map(_le, self._low, whole)) and all(map(_le, whole, self._high)):
            return whole, ()
        values: list[float] = []
        for name, low, high, required in self._plan:
            value = record.get(name)
            if type(value) is float and low <= value <= high:
                values.append(value)
            elif value is None and not required:
                values.append(nan)
            else:  # rare: the careful way, for all values again
                return self._read_closely(record)
        return values, ()

    def _read_closely(self, record: Mapping[str, Any]) -> tuple[list[float], tuple[str, ...]]:
        values = [_number(record, entry) for entry in self._inputs]
        outside = [
            name for value, (name, low, high, _) in zip(values, self._plan, strict=True) if value < low or value > high
        ]
        return values, tuple(outside)

    def _check_keys(self, record: Mapping[str, Any]) -> None:
        if len(record) > len(self._inputs) + MOST_OTHER_KEYS:
            raise RecordError(f"got {len(record)} keys; expected at most {MOST_OTHER_KEYS} that are no input")
        if len(self._harmless) > len(self._inputs) + 4 * MOST_OTHER_KEYS:
            self._harmless = set(self._names)  # a feed of ever new keys must not fill memory
        for key in record:
            if key in self._harmless:
                continue
            if near := near_miss(key[:LONGEST_KEY], self._names):
                raise RecordError(f"unknown key {reprlib.repr(key)}{near}")
            if len(key) <= LONGEST_KEY:
                self._harmless.add(key)


def near_miss(key: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the one of `names` that `key` nearly is, or nothing.

    Examples
    --------
    >>> near_miss("Hieght", ["voltage", "height"])
    "; did you mean 'height'?"
    """
    exact = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(key.casefold(), exact, n=1, cutoff=0.8)
    return f"; did you mean {exact[close[0]]!r}?" if close else ""


def parse_record(line: bytes) -> dict[str, Any]:
    """Parse one line as a flat JSON object.

    Raises
    ------
    RecordError
        Not strict JSON (see `strict_json.parse`), or not an object.
    """
    try:
        record = strict_json.parse(line)
    except strict_json.JSONError as error:
        raise RecordError(str(error)) from None
    if type(record) is not dict:
        raise RecordError(f"got {reprlib.repr(record)}; expected a JSON object")
    return record


def record_id(record: Mapping[str, Any], line_number: int) -> str | int:
    """Return the record's own ``id``, or its line number where it has none.

    Raises
    ------
    RecordError
        The id is neither text nor an integer.
    """
    value = record.get("id", line_number)
    if type(value) is str or type(value) is int:
        return value
    raise RecordError(f"id: got {reprlib.repr(value)}; expected text or an integer")


def _number(record: Mapping[str, Any], entry: Input) -> float:
    """Read one value with care; None, or one that numpy masks, is NaN where it is not required."""
    value = record.get(entry.name)
    if value is None or value is np.ma.masked:
        if not entry.required:
            return nan
        got = "nothing" if entry.name not in record else "null" if value is None else "a masked value"
        raise RecordError(f"{entry.name}: got {got}; expected a number (it is required)")
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise RecordError(f"{entry.name}: got {reprlib.repr(value)}; expected a number")
    if isinstance(value, int | np.integer) and abs(int(value)) > LARGEST_INTEGER:
        raise RecordError(f"{entry.name}: got {reprlib.repr(value)}; expected integers within +-{LARGEST_INTEGER}")
    number = float(value)
    if abs(number) <= LARGEST_FLOAT32 or (isnan(number) and not entry.required):
        return number
    raise RecordError(f"{entry.name}: got {number}; expected a finite number that float32 can hold")
