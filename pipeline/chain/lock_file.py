"""The text of dvc.lock before and after a run -> the text to keep: in one order, and the same on every processor.

DVC adds an entry where its stage ends, so side by side the order is random. From training on, the processor decides
the last digits of some results. Who changed nothing should see no change, so git's dvc.lock stays as it is then.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.runtime import fast_yaml

BY_PROCESSOR = ("train", "evaluate", "export", "report")
"""Stages whose last digits depend on the processor: docs/design.md says why."""
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
    """Return whether two texts have equal entries, in whatever order."""
    return _stages(before) == _stages(after)


def differs_by_processor_alone(before: str, after: str) -> bool:
    """Return whether two texts agree but for the files of `BY_PROCESSOR`: in commands, params, code and other files."""
    left, right = _stages(before), _stages(after)
    if left.keys() != right.keys():
        return False
    made = [out["path"] for name, entry in left.items() if name.split("@")[0] in BY_PROCESSOR for out in entry["outs"]]
    return all(_without_digests(left[name], made) == _without_digests(right[name], made) for name in left)


def _without_digests(entry: Mapping[str, Any], made: Sequence[str]) -> dict[str, Any]:
    """Return an entry that says nothing of the content of some files, or of folders that hold them."""

    def bare(file: Mapping[str, Any]) -> Mapping[str, Any]:
        path = f"{file['path']}/"
        overlaps = any(path.startswith(f"{other}/") or f"{other}/".startswith(path) for other in made)
        return {"path": path} if overlaps else file

    return {**entry, **{kind: [bare(file) for file in entry.get(kind, [])] for kind in ("deps", "outs")}}


def _stages(text: str) -> Mapping[str, Any]:
    loaded = fast_yaml.load(text) or {}
    stages: Mapping[str, Any] = loaded.get("stages", {})
    return stages
