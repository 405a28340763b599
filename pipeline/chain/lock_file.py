"""The text of dvc.lock before and after a run -> the same entries in one order.

DVC adds an entry where its stage ends, so side by side the order is random.
"""

import re
from collections.abc import Mapping
from typing import Any

from pipeline.runtime import fast_yaml

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


def _stages(text: str) -> Mapping[str, Any]:
    loaded = fast_yaml.load(text) or {}
    stages: Mapping[str, Any] = loaded.get("stages", {})
    return stages
