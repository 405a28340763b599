"""TOML tables -> frozen dataclasses, by the types and limits that their fields declare."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, what was got and expected."""


def limited(low: float, high: float, default: Any = dataclasses.MISSING) -> Any:
    """Declare a number that must lie within `low` to `high`."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def one_of(*kinds: type) -> Any:
    """Declare an array of tables, each of the dataclass that its ``kind`` names; empty where there are none."""
    return dataclasses.field(default=(), metadata={"kinds": {kind.kind: kind for kind in kinds}})  # type: ignore[attr-defined]


def read_table(kind: Any, value: Any, where: str, folder: Path) -> Any:
    """Read a table as the dataclass `kind`.

    Parameters
    ----------
    value
        As `tomllib` gives it.
    where
        The table's key, for messages; empty for the file itself.
    folder
        What relative paths start from.

    Raises
    ------
    ConfigError
        An unknown or missing key, a value of another type or outside its limits.
    """
    if type(value) is not dict:
        raise ConfigError(f"{where or 'file'}: got {value!r}; expected a table")
    types = {entry.name: entry for entry in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in types:
            raise ConfigError(f"{prefix}{key}: unknown key; expected one of {', '.join(types)}")
    given = {}
    for name, entry in types.items():
        if name in value:
            given[name] = _read(hints[name], value[name], f"{prefix}{name}", folder, entry.metadata)
        elif entry.default is dataclasses.MISSING:
            raise ConfigError(f"{prefix}{name}: missing; expected {_words(hints[name])}")
    return kind(**given)


def _read(kind: Any, value: Any, where: str, folder: Path, limits: Mapping[str, Any]) -> Any:
    if get_origin(kind) is tuple and not limits:
        return _read_words(value, where)
    if get_origin(kind) is tuple:
        return _read_entries(limits["kinds"], value, where, folder)
    if get_origin(kind) is UnionType:
        return _read(get_args(kind)[0], value, where, folder, limits)
    if dataclasses.is_dataclass(kind):
        return read_table(kind, value, where, folder)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{where}: got {value!r}; expected {_words(kind)}")
        return value
    if kind is Path and type(value) is str and value and "\0" not in value:
        return folder / value
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or value == "":
        raise ConfigError(f"{where}: got {value!r}; expected {_words(kind)}")
    if limits and not limits["low"] <= value <= limits["high"]:
        raise ConfigError(f"{where}: got {value}; expected {limits['low']} to {limits['high']}")
    return value


def _read_entries(kinds: Mapping[str, type], value: Any, where: str, folder: Path) -> tuple[Any, ...]:
    if type(value) is not list:
        raise ConfigError(f"{where}: got {value!r}; expected [[{where}]] tables")
    entries = []
    for i, entry in enumerate(value):
        chosen = entry.get("kind") if type(entry) is dict else None
        if type(chosen) is not str or chosen not in kinds:
            raise ConfigError(f"{where}[{i}].kind: got {chosen!r}; expected one of {', '.join(kinds)}")
        rest = {key: part for key, part in entry.items() if key != "kind"}
        entries.append(read_table(kinds[chosen], rest, f"{where}[{i}]", folder))
    return tuple(entries)


def _read_words(value: Any, where: str) -> tuple[str, ...]:
    if type(value) is not list or not all(type(word) is str and word for word in value):
        raise ConfigError(f"{where}: got {value!r}; expected a list of texts")
    return tuple(value)


def _words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    words: dict[Any, str] = {
        Path: "a path",
        str: "text",
        int: "an integer",
        float: "a number",
        bool: "true or false",
    }
    return words.get(kind, "a table")
