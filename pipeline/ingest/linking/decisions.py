"""data/sources/links/<dataset>.yaml -> the pairs of reports that a reviewer has joined or parted."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from annotated_types import Len
from pydantic.dataclasses import dataclass

from pipeline.ingest.linking.linkage import Mark, may_share
from pipeline.params.declarations import STRICT, nearest, read_declaration
from pipeline.runtime.errors import DeclarationError

FOLDER = "links"
"""Below the folder of the mappings: a file for each dataset that has any."""


@dataclass(frozen=True, config=STRICT)
class Decision:
    """One pair of reports, each named as ``<source>:<record>``, and why."""

    reports: Annotated[list[str], Len(2, 2)]
    because: str

    @property
    def pair(self) -> frozenset[str]:
        """The two, in no order."""
        return frozenset(self.reports)


@dataclass(frozen=True, config=STRICT)
class Decisions:
    """What reviewers have decided about a dataset's reports."""

    never: list[Decision] = field(default_factory=list)
    always: list[Decision] = field(default_factory=list)

    @property
    def apart(self) -> set[frozenset[str]]:
        """The pairs that are never one event."""
        return {decision.pair for decision in self.never}


def path_of(dataset: str, sources: Path) -> Path:
    """Return where the decisions of a dataset lie."""
    return sources / FOLDER / f"{dataset}.yaml"


def read_decisions(path: Path) -> Decisions:
    """Read what reviewers decided; nothing where there is no file.

    Raises
    ------
    DeclarationError
        The file is wrong, or says of one pair that it is one event and that it is not.
    """
    if not path.exists():
        return Decisions()
    decisions = read_declaration(path, Decisions)
    for decision in decisions.always:
        if decision.pair in decisions.apart:
            raise DeclarationError(f"{path}: {' and '.join(decision.reports)} stand under always and under never")
    return decisions


def check(decisions: Decisions, marks: dict[str, Mark], path: Path) -> None:
    """Refuse decisions about reports that are not there, and joins that a marking forbids.

    Parameters
    ----------
    marks
        The marking of each report that stands, by its name.

    Raises
    ------
    DeclarationError
        With the file, the report and the nearest name, or the two originators.
    """
    for name in (name for decision in [*decisions.never, *decisions.always] for name in decision.reports):
        if name not in marks:
            raise DeclarationError(f"{path}: {name!r} is no report that stands in the tables{nearest(name, marks)}")
    for decision in decisions.always:
        one, other = decision.reports
        if one == other:
            raise DeclarationError(f"{path}: always: {one!r} is named twice; expected two reports")
        if not may_share(marks[one], marks[other]):
            raise DeclarationError(
                f"{path}: always: {one} and {other} cannot be joined: a report of {marks[one][0]} or of "
                f"{marks[other][0]} is not releasable to the other"
            )
