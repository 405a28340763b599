"""Markings of many rows -> the one marking of all that is derived from them, and who may have it.

The rule stands here alone. A partner may have a row that is its own, or that is released to it or to everybody. It may
have what is derived from rows if it may have every one of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import with_config

from pipeline.storage.records import RECORD
from pipeline.storage.schemas import TLP

ALL = "ALL"


def owners(originator: str) -> frozenset[str]:
    """Return the partners whose rows are behind a row: one, or several that are joined by ``+``.

    Examples
    --------
    >>> sorted(owners("b+a"))
    ['a', 'b']
    """
    return frozenset(originator.split("+"))


@lru_cache(maxsize=1024)  # millions of rows have few markings
def audience(originator: str, releasable_to: tuple[str, ...]) -> frozenset[str]:
    """Return the codes of the partners that may have a row; `ALL` alone where everybody may.

    An originator may have its own row. A row of several originators was derived from a row of each. Its list already
    contains the partners that may have all of these. No originator is added to it.

    Examples
    --------
    >>> sorted(audience("a", ("x",))), sorted(audience("a+b", ("a", "x"))), sorted(audience("a", ("ALL", "x")))
    (['a', 'x'], ['a', 'x'], ['ALL'])
    """
    if ALL in releasable_to:
        return frozenset({ALL})
    originators = owners(originator)
    return frozenset(releasable_to) | (originators - {ALL} if len(originators) == 1 else frozenset())


@with_config(RECORD)
@dataclass(frozen=True)
class Marking:
    """Who owns it and who may have it."""

    originator: str
    releasable_to: tuple[str, ...]
    """Partner codes, or `ALL`. Of what is derived: all who may have it, sorted, ``("ALL",)`` or empty for nobody."""
    tlp: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Marking":
        """Return the marking of a row, or of the record of a fit; other keys are not read."""
        return cls(row["originator"], tuple(row["releasable_to"]), row["tlp"])

    @property
    def audience(self) -> frozenset[str]:
        """The codes of the partners that may have it; `ALL` alone where everybody may."""
        return audience(self.originator, self.releasable_to)

    def allows(self, partner: str) -> bool:
        """Return whether a partner may have it."""
        return not self.audience.isdisjoint({ALL, partner})

    @property
    def written(self) -> str:
        """The marking in words, for a line on what carries it.

        Examples
        --------
        >>> Marking("a+b", ("x", "y"), "AMBER").written
        'TLP:AMBER, releasable to x, y, from a+b'
        >>> Marking("a+b", (), "AMBER").written, Marking("a", (), "RED").written
        ('TLP:AMBER, releasable to nobody, from a+b', 'TLP:RED, releasable to a, from a')
        """
        return f"TLP:{self.tlp}, releasable to {', '.join(sorted(self.audience)) or 'nobody'}, from {self.originator}"


def combined(markings: Iterable[Marking]) -> Marking:
    """Return the marking of what is derived from all that carries these.

    The originators are joined by ``+``, each once. Only partners that may have every one remain. TLP is the highest.
    What is combined of combined markings is the same as combined at once.

    Examples
    --------
    >>> combined([Marking("a", ("x", "y"), "AMBER"), Marking("b", ("a", "x"), "CLEAR")])
    Marking(originator='a+b', releasable_to=('a', 'x'), tlp='AMBER')
    """
    distinct = set(markings)
    named = [marking.audience for marking in distinct if ALL not in marking.audience]
    return Marking(
        originator="+".join(sorted(frozenset().union(*(owners(marking.originator) for marking in distinct)))),
        releasable_to=tuple(sorted(frozenset.intersection(*named) if named else {ALL})),
        tlp=max((marking.tlp for marking in distinct), key=TLP.index, default=TLP[0]),
    )


def most_restrictive(*tables: pa.Table) -> Marking:
    """Return the marking of what is derived from the rows of all the tables.

    Examples
    --------
    >>> rows = {"originator": ["a+b", "a"], "releasable_to": [["ALL"], ["x", "y"]], "tlp": ["AMBER", "CLEAR"]}
    >>> most_restrictive(pa.table(rows))
    Marking(originator='a+b', releasable_to=('a', 'x', 'y'), tlp='AMBER')
    """
    return combined(marking for table in tables for marking in _distinct(table))


def _distinct(table: pa.Table) -> set[Marking]:
    """Return the markings of a table's rows; no code contains a line break, as the mapping refuses it."""
    joined = pc.binary_join(table["releasable_to"].cast(pa.list_(pa.string())), "\n")
    rows = pa.table({"originator": table["originator"], "releasable_to": joined, "tlp": table["tlp"]})
    return {
        Marking.of({**row, "releasable_to": row["releasable_to"].split("\n") if row["releasable_to"] else []})
        for row in rows.group_by(rows.column_names).aggregate([]).to_pylist()
    }
