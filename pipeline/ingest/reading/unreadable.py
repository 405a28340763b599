"""The reason why a cell cannot be read -> a text in place of its value, which the rules reject.

The text begins with U+FFFF, a noncharacter that XML cannot hold, so no workbook has such a text itself. A reader does
not reject the row, as it does not know whether the mapping reads the column. A record from the quarantine keeps the
text, and is rejected again.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Rule = Literal["formula", "merged_cells", "geometry"]
RULES: tuple[Rule, ...] = ("formula", "merged_cells", "geometry")

ERRORS = (
    *("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA", "#SPILL!", "#CALC!"),
    *("#FIELD!", "#BLOCKED!", "#CONNECT!", "#BUSY!", "#UNKNOWN!", "#EXTERNAL!"),
)
"""Texts that a workbook shows where a formula has no result."""

_MARK = "\uffff"


def unreadable(rule: Rule, problem: str) -> str:
    """Return the text in place of a cell's value."""
    return f"{_MARK}{rule}: {problem}"


def is_unreadable(value: object) -> bool:
    """Return whether a value is such a text."""
    return isinstance(value, str) and value.startswith(_MARK)


def unreadable_in(text: pa.Array) -> Iterator[tuple[Rule, np.ndarray, list[str]]]:
    """Yield each rule that a cell of a column breaks, with the rows, bool (n,), and the problem of each.

    Examples
    --------
    >>> column = pa.array(["3", None, unreadable("formula", "G2 holds =1+1 without a result")])
    >>> [(rule, rows.tolist(), problems[2]) for rule, rows, problems in unreadable_in(column)]
    [('formula', [False, False, True], 'G2 holds =1+1 without a result')]
    """
    if not pc.any(pc.starts_with(text, _MARK)).as_py():
        return
    for rule in RULES:
        start = f"{_MARK}{rule}: "
        rows = pc.starts_with(text, start).fill_null(False).to_numpy(zero_copy_only=False)
        if rows.any():
            yield rule, rows, [(value or "").removeprefix(start) for value in text.to_pylist()]


def as_shown(text: str) -> str:
    """Return a cell's text for a person to read, without the mark that it cannot be read."""
    return text.removeprefix(_MARK)
