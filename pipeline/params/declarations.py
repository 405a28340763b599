"""A YAML file written by a person -> a frozen, validated dataclass, or a message: file, key, got, expected."""

import re
from collections.abc import Hashable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from pipeline.params.names import nearest
from pipeline.runtime.errors import DeclarationError

T = TypeVar("T")

RENAMED = {
    "rehearsals": "calibration_blocks",
    "subset_worse_by_at_most": "subgroup_worse_by_at_most",
    "export.form": "variant",
    "export.reasons": "explanations",
    "datasets.*.area_risk": "models.area_risk_28d and so on, a section for each horizon with its horizon_days",
    "datasets.*.sensor_threat": "models.sensor_threat, with the dataset's modalities by a YAML alias",
}
"""New names of keys, by the old ones or their paths; ``*`` is any key. The next release drops an entry."""

_TRIED = re.compile(r"^((literal|list|dict|tuple|kind|function-\w+)\[.*|constrained-\w+)$")


def read_declaration(path: Path, kind: type[T]) -> T:
    """Read a YAML file as `kind`, a strict pydantic dataclass.

    Raises
    ------
    DeclarationError
        The file is missing, is not YAML, repeats a key, or does not fit `kind`; every fault is named at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeclarationError(f"{path}: no such file; expected a YAML declaration") from None
    except UnicodeDecodeError as error:
        raise DeclarationError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    try:
        value = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise DeclarationError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return declare(value, kind, where=str(path))


def declare(value: Any, kind: type[T], *, where: str) -> T:
    """Validate plain YAML or JSON data as `kind`.

    Parameters
    ----------
    value
        What was read.
    kind
        The dataclass.
    where
        Opens every line of a message.

    Raises
    ------
    DeclarationError
        The data does not fit; every fault is named at once.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        faults = [{**fault, "loc": _keys(fault["loc"])} for fault in error.errors(include_url=False)]
        # where a word or a section is allowed, "not a section" does not explain what is wrong with a word
        explained = {fault["loc"] for fault in faults if fault["type"] != "dataclass_type"}
        faults = [fault for fault in faults if fault["type"] != "dataclass_type" or fault["loc"] not in explained]
        raise DeclarationError("\n".join(f"{where}: {_fault(fault, kind)}" for fault in faults)) from None


def _keys(location: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys that lead to a fault; pydantic puts in the kind that it tried, where there are several."""
    return tuple(str(part) for part in location if not _TRIED.search(str(part)))


def _fault(fault: dict[str, Any], kind: Any) -> str:
    path = list(fault["loc"])
    key = ".".join(path)
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        for old, new in RENAMED.items():
            if path[-1] == old or fnmatchcase(key, old):
                return f"{key}: renamed {new}; expected it under that name"
        known = _keys_at(kind, path[:-1])
        return f"{key}: unknown key{nearest(path[-1], known)} (known: {', '.join(known)})"
    if fault["type"] in ("missing", "missing_argument"):
        return f"{key}: missing; expected a value"
    if fault["type"] == "literal_error":
        expected = fault["ctx"]["expected"]
        near = nearest(str(fault["input"]), re.findall(r"'([^']*)'", expected))
        return f"{key}: got {fault['input']!r}; expected {expected}{near}"
    message = fault["msg"].removeprefix("Value error, ")
    # a fault between the keys of one section needs no value: the whole section would hide the message
    got = f"got {fault['input']!r}; " if isinstance(fault["input"], str | int | float | list | None) else ""
    return f"{key or 'file'}: {got}{message[0].lower()}{message[1:]}"


def _keys_at(kind: Any, path: list[str]) -> list[str]:
    """Return the keys that the JSON schema of `kind` allows at `path`."""
    schema = TypeAdapter(kind).json_schema()
    definitions = schema.get("$defs", {})
    nodes: list[dict[str, Any]] = [schema]
    for part in [*path, None]:
        resolved: list[dict[str, Any]] = []
        while nodes:
            node = nodes.pop()
            if "$ref" in node:
                node = definitions[node["$ref"].rsplit("/", 1)[1]]
            nodes.extend([*node.get("anyOf", []), *node.get("oneOf", [])])
            resolved.append(node)
        if part is None:
            return sorted({key for node in resolved for key in node.get("properties", {})})
        for node in resolved:
            child = node.get("properties", {}).get(part, node.get("additionalProperties"))
            child = node.get("items", child) if part.isdigit() else child
            if isinstance(child, dict):
                nodes.append(child)
    return []


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where PyYAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<`: the keys of another mapping, which this one's own stand before
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
