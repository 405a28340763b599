"""data/sources/links/<dataset>.yaml -> the pairs of reports that a reviewer has joined or separated."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from annotated_types import Len
from pydantic.dataclasses import dataclass

from pipeline.ingest.linking.linkage import Mark, may_share
from pipeline.params.declarations import read_declaration
from pipeline.params.names import nearest
from pipeline.params.strict import STRICT
from pipeline.runtime.errors import DeclarationError

FOLDER = "links"
"""Below the folder of the mappings: a file for each dataset that has any."""


@dataclass(frozen=True, config=STRICT)
class Decision:
    """One pair of reports, each named as ``<source>:<record>``, and the reason."""

    reports: Annotated[list[str], Len(2, 2)]
    because: str

    @property
    def pair(self) -> frozenset[str]:
        """The two reports, in no order."""
        return frozenset(self.reports)


@dataclass(frozen=True, config=STRICT)
class Decisions:
    """The decisions of reviewers about a dataset's reports."""

    never: list[Decision] = field(default_factory=list)
    always: list[Decision] = field(default_factory=list)

    @property
    def apart(self) -> set[frozenset[str]]:
        """The pairs that are never one event."""
        return {decision.pair for decision in self.never}


def path_of(dataset: str, sources: Path) -> Path:
    """Return the path of a dataset's decisions."""
    return sources / FOLDER / f"{dataset}.yaml"


def read_decisions(path: Path) -> Decisions:
    """Read the decisions of reviewers; none where there is no file.

    Raises
    ------
    DeclarationError
        The file is wrong, or has one pair under `always` and under `never`.
    """
    if not path.exists():
        return Decisions()
    decisions = read_declaration(path, Decisions)
    for decision in decisions.always:
        if decision.pair in decisions.apart:
            raise DeclarationError(f"{path}: {' and '.join(decision.reports)} stand under always and under never")
    return decisions


def check(decisions: Decisions, marks: dict[str, Mark], path: Path) -> None:
    """Refuse decisions about missing reports, and joins that a marking forbids.

    Parameters
    ----------
    decisions
        Of the dataset.
    marks
        The marking of each report in the tables, by its name.
    path
        The file of the decisions, for messages.

    Raises
    ------
    DeclarationError
        With the file, the report and the nearest name, or the two originators.
    """
    for name in (name for decision in [*decisions.never, *decisions.always] for name in decision.reports):
        if name not in marks:
            raise DeclarationError(f"{path}: {name!r} is no open report in the tables{nearest(name, marks)}")
    for decision in decisions.always:
        left, right = decision.reports
        if left == right:
            raise DeclarationError(f"{path}: always: {left!r} is named twice; expected two reports")
        if not may_share(marks[left], marks[right]):
            raise DeclarationError(
                f"{path}: always: {left} and {right} cannot be joined: a report of {marks[left][0]} or of "
                f"{marks[right][0]} is not releasable to the other"
            )
