"""A file's header and the columns that a mapping reads -> distinct names, or a message."""

from pathlib import Path

from pipeline.ingest.reading.chunk import SourceError
from pipeline.params.names import nearest

MOST_COLUMNS = 4096


def check_header(path: Path, names: list[str], columns: list[str]) -> None:
    """Refuse a file that lacks a column that the mapping reads, has it twice, or has too many columns.

    Parameters
    ----------
    path
        The file, for messages.
    names
        The names in its header.
    columns
        The columns that the mapping reads.

    Raises
    ------
    SourceError
        Names the column, and the nearest that the file has.
    """
    if len(names) > MOST_COLUMNS:
        raise SourceError(f"{path}: {len(names)} columns; expected at most {MOST_COLUMNS}")
    for column in columns:
        if names.count(column) == 0:
            known = ", ".join(names[:40]) + (" …" if len(names) > 40 else "")
            raise SourceError(f"{path}: column {column!r} is not in the file{nearest(column, names)} (has: {known})")
        if names.count(column) > 1:
            raise SourceError(f"{path}: column {column!r} is in the header {names.count(column)} times; expected once")


def distinct(names: list[str]) -> list[str]:
    """Return the names, with a number behind each repeat.

    Examples
    --------
    >>> distinct(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    seen: dict[str, int] = {}
    result: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result
