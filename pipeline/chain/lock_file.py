"""The text of dvc.lock before and after a run -> the same entries in one order, and whether only bytes differ.

DVC adds an entry where its stage ends, so side by side the order is a matter of luck. And a stage that does not promise
the same bytes on every processor changes digests, where nobody changed anything: see docs/decisions/0010.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

PORTABLE = ("acquire", "ingest", "features")
"""Stages that promise the same bytes on every x86-64 processor: see docs/design.md, Processors."""

_ENTRY = re.compile(r"(?m)^(?=  \S)")


def in_order(text: str) -> str:
    r"""Return the text with its entries sorted by name.

    Examples
    --------
    >>> in_order("schema: '2.0'\nstages:\n  b:\n    cmd: x\n  a:\n    cmd: y\n")
    "schema: '2.0'\nstages:\n  a:\n    cmd: y\n  b:\n    cmd: x\n"
    """
    head, stages, entries = text.partition("\nstages:\n")
    return head + stages + "".join(sorted(_ENTRY.split(entries), key=lambda entry: entry.partition("\n")[0]))


def same(before: str, after: str) -> bool:
    """Return whether two texts tell the same of each stage, in whatever order."""
    return _stages(before) == _stages(after)


def differ_in_bytes_only(before: str, after: str) -> bool:
    """Return whether two texts tell of the same commands, params, code and portable bytes, but of other digests.

    Other digests means: of what stages wrote that promise no more than equal metrics on another processor.
    """
    first, second = _stages(before), _stages(after)
    return first != second and _without_digests(first) == _without_digests(second)


def _stages(text: str) -> Mapping[str, Any]:
    loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    stages: Mapping[str, Any] = loaded.get("stages", {})
    return stages


def _without_digests(stages: Mapping[str, Any]) -> dict[str, Any]:
    unequal = [
        PurePosixPath(out["path"])
        for name, entry in stages.items()
        if name.split("@")[0] not in PORTABLE
        for out in entry.get("outs", ())
    ]
    return {
        name: {**entry, **{key: _paths(entry.get(key, ()), unequal) for key in ("deps", "outs")}}
        for name, entry in stages.items()
    }


def _paths(entries: Iterable[Mapping[str, Any]], unequal: Iterable[PurePosixPath]) -> list[Any]:
    return [entry["path"] if _touches(PurePosixPath(entry["path"]), unequal) else entry for entry in entries]


def _touches(path: PurePosixPath, others: Iterable[PurePosixPath]) -> bool:
    return any(path.is_relative_to(other) or other.is_relative_to(path) for other in others)
