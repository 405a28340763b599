"""Names in a declaration -> the nearest to a misspelt one, and ranges, ``band_01..band_60``, written out."""

import difflib
import re
from typing import Any

_RANGE = re.compile(r"(\D*)(\d+)\.\.(\D*)(\d+)")


def nearest(name: str, names: Any) -> str:
    """Return ``; did you mean 'x'?`` for the closest of `names`, or nothing where none is close.

    Examples
    --------
    >>> nearest("num_leave", ["num_leaves", "seed"])
    "; did you mean 'num_leaves'?"
    """
    close = difflib.get_close_matches(name, [str(n) for n in names], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def expanded(section: Any) -> Any:
    """Return a section in which each range of names stands for all of them, in order, with the same value.

    Raises
    ------
    ValueError
        A range counts down or joins two different words, or a name is given twice.

    Examples
    --------
    >>> expanded({"band_09..band_11": 0, "height": 1})
    {'band_09': 0, 'band_10': 0, 'band_11': 0, 'height': 1}
    """
    if not isinstance(section, dict):
        return section
    written: dict[Any, Any] = {}
    for key, value in section.items():
        for name in _names(key):
            if name in written:
                raise ValueError(f"{key!r} gives {name!r} a second time; expected each name once")
            written[name] = value
    return written


def _names(key: Any) -> list[Any]:
    if ".." not in str(key):
        return [key]
    match = _RANGE.fullmatch(str(key))
    if match is None or match[1] != match[3] or len(match[2]) != len(match[4]) or int(match[2]) > int(match[4]):
        raise ValueError(
            f"got the range {key!r}; expected one word and two numbers of as many digits, band_01..band_60"
        )
    return [f"{match[1]}{number:0{len(match[2])}d}" for number in range(int(match[2]), int(match[4]) + 1)]
