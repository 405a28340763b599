"""Markings of many rows -> the one marking that what is derived from them must carry: the most restrictive."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables import TLP

ALL = "ALL"


@dataclass(frozen=True)
class Marking:
    """Who owns it and who may have it."""

    originator: str
    releasable_to: tuple[str, ...]
    """Partner codes, sorted; ``("ALL",)`` where nobody is left out, empty where nobody but the originators may."""
    tlp: str

    @property
    def written(self) -> str:
        """The marking in words, for a line on what carries it.

        Examples
        --------
        >>> Marking("a+b", ("x", "y"), "AMBER").written
        'TLP:AMBER, releasable to x, y, from a+b'
        """
        return f"TLP:{self.tlp}, releasable to {', '.join(self.releasable_to) or 'nobody else'}, from {self.originator}"


def most_restrictive(*tables: pa.Table) -> Marking:
    """Return the marking of what is derived from the rows of all the tables.

    The originators are joined by ``+``, each once; only partners to whom every row may be released remain; TLP is
    the highest.

    Examples
    --------
    >>> rows = {"originator": ["a+b", "a"], "releasable_to": [["ALL"], ["x", "y"]], "tlp": ["AMBER", "CLEAR"]}
    >>> most_restrictive(pa.table(rows))
    Marking(originator='a+b', releasable_to=('x', 'y'), tlp='AMBER')
    """
    originators: set[str] = set()
    colours: set[str] = set()
    releases: set[frozenset[str]] = set()
    for table in tables:
        originators |= {name for several in pc.unique(table["originator"]).to_pylist() for name in several.split("+")}
        colours |= set(pc.unique(table["tlp"]).to_pylist())
        joined = pc.unique(pc.binary_join(table["releasable_to"].cast(pa.list_(pa.string())), "\n"))
        releases |= {frozenset(text.split("\n")) for text in joined.to_pylist()}
    named = [partners for partners in releases if ALL not in partners]
    releasable = frozenset.intersection(*named) if named else {ALL}
    return Marking(
        originator="+".join(sorted(originators)),
        releasable_to=tuple(sorted(releasable - {""})),
        tlp=max(colours, key=TLP.index, default=TLP[0]),
    )
