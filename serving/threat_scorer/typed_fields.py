"""Parsed JSON -> the frozen dataclasses that declare it, field by field; nothing is guessed, nothing is left over."""

import dataclasses
import math
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from threat_scorer.strict_json import JSONError


def read(kind: Any, value: Any, where: str) -> Any:
    """Read parsed JSON as `kind`.

    Parameters
    ----------
    kind
        A dataclass, ``tuple[T, ...]``, ``dict[str, T]``, ``T | None``, or one of str, bool, int, float.
    value
        As `strict_json.parse` returned it. An integer is read as a float where one is declared; nothing else is
        converted.
    where
        Names the value in messages.

    Raises
    ------
    JSONError
        A field is missing, unknown or of another type; the message names it.
    """
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, where)
    if get_origin(kind) is UnionType:
        return None if value is None else read(get_args(kind)[0], value, where)
    if get_origin(kind) is tuple:
        _expect_type(list, value, where)
        return tuple(read(get_args(kind)[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if get_origin(kind) is dict:
        _expect_type(dict, value, where)
        return {key: read(get_args(kind)[1], entry, f"{where}.{_shown(key)}") for key, entry in value.items()}
    if kind is float:
        return _read_float(value, where)
    _expect_type(kind, value, where)
    return value


def _read_fields(kind: Any, value: Any, where: str) -> Any:
    _expect_type(dict, value, where)
    types = get_type_hints(kind)
    unknown, missing = sorted(value.keys() - types), sorted(types.keys() - value)
    if unknown or missing:
        raise JSONError(
            f"{where}: unknown fields {_shown(unknown)}, missing fields {missing}; expected {sorted(types)}"
        )
    return kind(**{name: read(types[name], entry, f"{where}.{name}") for name, entry in value.items()})


def _read_float(value: Any, where: str) -> float:
    if type(value) is int and abs(value) <= 2**53:
        return float(value)
    _expect_type(float, value, where)
    if not math.isfinite(value):
        raise JSONError(f"{where}: got {value}; expected a finite number")
    return float(value)


def _expect_type(kind: type, value: Any, where: str) -> None:
    if type(value) is not kind:  # not isinstance: True is no number here
        words = {list: "a list", dict: "an object", str: "text", bool: "true or false", int: "an integer"}
        raise JSONError(f"{where}: got {_shown(value)}; expected {words.get(kind, 'a number')}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
