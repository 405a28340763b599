"""Parsed JSON or TOML -> the frozen dataclasses that declare it, field by field; nothing is guessed or left over."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Declared = TypeVar("Declared")

LARGEST_INTEGER_AS_FLOAT = 2**53
"""A float holds every integer up to here."""
LONGEST_SHOWN = 80
"""Most characters of a value that a message shows."""


class FieldError(ValueError):
    """A value that does not fit its declaration; the message names the field, what was got and expected."""


def limited(low: float, high: float, default: Any = dataclasses.MISSING) -> Any:
    """Declare a number that must lie within limits.

    Parameters
    ----------
    low, high
        The least and the largest number, both allowed.
    default
        The number where the field is left out; without it the field must be given.
    """
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def renamed(old: str, default: Any) -> Any:
    """Declare a field whose name used to be another: the reader refuses the old name, and names the new one.

    Parameters
    ----------
    old
        The name before.
    default
        A plain default, or a field that `limited` or `one_of` declared.
    """
    if not isinstance(default, dataclasses.Field):
        return dataclasses.field(default=default, metadata={"old": old})
    return dataclasses.field(default=default.default, metadata={**default.metadata, "old": old})


def one_of(*kinds: type) -> Any:
    """Declare an array of tables, each of the dataclass that its ``kind`` names; empty where there are none."""
    return dataclasses.field(default=(), metadata={"kinds": {kind.kind: kind for kind in kinds}})  # type: ignore[attr-defined]


def read(kind: type[Declared], value: Any, where: str, *, folder: Path | None = None) -> Declared:
    """Read a parsed value as the dataclass `kind`.

    Its fields may be dataclasses, tuples, dictionaries by text, optional, ``Literal`` of texts, paths, texts, numbers
    and truth values. A field with a default may be left out.

    Parameters
    ----------
    kind
        The dataclass. `limited`, `one_of` and `renamed` declare more about its fields.
    value
        As `strict_json.parse` or `tomllib` returned it. An integer is read as a float where one is declared; nothing
        else is converted.
    where
        Names the value in messages; empty for a whole file.
    folder
        Relative paths start from it. It is given for a file that a person writes: there an empty text is refused.

    Raises
    ------
    FieldError
        A field is missing, unknown, renamed, of another type or outside its limits.
    """
    result: Declared = _read_table(kind, value, where, folder)
    return result


def _read_table(kind: Any, value: Any, where: str, folder: Path | None) -> Any:
    _expect_type(dict, value, where or "file")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    _check_names(list(value), fields, prefix)
    values = {}
    for name, field in fields.items():
        if name in value:
            values[name] = _read(hints[name], value[name], f"{prefix}{name}", folder, field.metadata)
        elif field.default is dataclasses.MISSING:
            raise FieldError(f"{prefix}{name}: missing; expected {_expected(hints[name])}")
    return kind(**values)


def _check_names(names: list[str], fields: Mapping[str, dataclasses.Field[Any]], prefix: str) -> None:
    new_names = {field.metadata["old"]: name for name, field in fields.items() if "old" in field.metadata}
    for name in names:
        if name in new_names:
            raise FieldError(f"{prefix}{name}: renamed {prefix}{new_names[name]}; expected it under that name")
        if name not in fields:
            shown = name if name.isidentifier() and len(name) <= LONGEST_SHOWN else _shown(name)
            raise FieldError(f"{prefix}{shown}: unknown key; expected one of {', '.join(fields)}")


def _read(kind: Any, value: Any, where: str, folder: Path | None, rules: Mapping[str, Any]) -> Any:
    if dataclasses.is_dataclass(kind):
        return _read_table(kind, value, where, folder)
    if get_origin(kind) is UnionType:
        return None if value is None else _read(get_args(kind)[0], value, where, folder, rules)
    if get_origin(kind) is tuple and "kinds" in rules:
        return _read_tables(rules["kinds"], value, where, folder)
    if get_origin(kind) is tuple:
        _expect_type(list, value, where)
        return tuple(_read(get_args(kind)[0], item, f"{where}[{i}]", folder, {}) for i, item in enumerate(value))
    if get_origin(kind) is dict:
        _expect_type(dict, value, where)
        item_kind = get_args(kind)[1]
        return {key: _read(item_kind, item, f"{where}.{_shown(key)}", folder, {}) for key, item in value.items()}
    if get_origin(kind) is Literal:
        if type(value) is not str or value not in get_args(kind):
            raise FieldError(f"{where}: got {_shown(value)}; expected {_expected(kind)}")
        return value
    if kind is Path:
        return _read_path(value, where, folder)
    if kind is float and type(value) is int and abs(value) <= LARGEST_INTEGER_AS_FLOAT:
        value = float(value)
    _expect_type(kind, value, where)
    if value == "" and folder is not None:
        raise FieldError(f"{where}: got ''; expected {_expected(kind)}")
    if "low" in rules and not rules["low"] <= value <= rules["high"]:
        raise FieldError(f"{where}: got {value}; expected {rules['low']} to {rules['high']}")
    if kind is float and not math.isfinite(value):
        raise FieldError(f"{where}: got {value}; expected a finite number")
    return value


def _read_tables(kinds: Mapping[str, type], value: Any, where: str, folder: Path | None) -> tuple[Any, ...]:
    if type(value) is not list:
        raise FieldError(f"{where}: got {_shown(value)}; expected [[{where}]] tables")
    tables = []
    for i, table in enumerate(value):
        kind = table.get("kind") if type(table) is dict else None
        if type(kind) is not str or kind not in kinds:
            raise FieldError(f"{where}[{i}].kind: got {_shown(kind)}; expected one of {', '.join(kinds)}")
        fields = {key: item for key, item in table.items() if key != "kind"}
        tables.append(_read_table(kinds[kind], fields, f"{where}[{i}]", folder))
    return tuple(tables)


def _read_path(value: Any, where: str, folder: Path | None) -> Path:
    if type(value) is not str or not value or "\0" in value:
        raise FieldError(f"{where}: got {_shown(value)}; expected {_expected(Path)}")
    return Path(value) if folder is None else folder / value


def _expect_type(kind: type, value: Any, where: str) -> None:
    if type(value) is not kind:  # not isinstance: True is no number here
        raise FieldError(f"{where}: got {_shown(value)}; expected {_expected(kind)}")


def _expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is UnionType:
        return f"{_expected(get_args(kind)[0])} or null"
    words: dict[Any, str] = {
        Path: "a path",
        str: "text",
        bool: "true or false",
        int: "an integer",
        float: "a number",
        list: "a list",
        tuple: "a list",
    }
    return words.get(get_origin(kind) or kind, "a table of keys")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
