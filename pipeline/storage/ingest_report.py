"""Counts of a dataset's records -> the report of `ingest`, a record in reports/<dataset>/ingest.json."""

from collections.abc import Mapping
from dataclasses import fields

from pydantic.dataclasses import dataclass

from pipeline.storage.records import RECORD


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Totals:
    """The records of all sources: `rows_in` is the sum of the others."""

    rows_in: int
    kept: int
    merged: int
    quarantined: int

    @classmethod
    def of(cls, counts: Mapping[str, "SourceCounts"]) -> "Totals":
        """Add up the counts of all sources."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: sum(getattr(source, name) for source in counts.values()) for name in names})


@dataclass(frozen=True, config=RECORD, kw_only=True)
class SourceCounts:
    """The records of one source."""

    table: str
    """The canonical table that its rows go to."""
    about: str
    """What its mapping says that it is, and what to beware of."""
    rows_in: int
    """Records in the file."""
    kept: int
    """Rows in the table."""
    merged: int
    """Repeats and withdrawals."""
    quarantined: int
    repeats: int
    """Records that repeat the open version of their record."""
    withdrawals: int
    corrections: int
    """Rows that are a version after the first of their record."""
    rules: dict[str, int]
    """Rule -> records that it rejects, sorted by the rule's name."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class LinkageCounts:
    """What record linkage joined."""

    links: int
    """Pairs of reports that are one event."""
    reports_joined: int
    events: int
    """Events that the joined reports are of."""
    versions_completed: int
    """Versions of a report to which another report adds what it leaves open."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class IngestReport:
    """The records of a dataset: each one is kept, merged or quarantined."""

    sources: dict[str, SourceCounts]
    total: Totals
    linkage: LinkageCounts | None = None
    """None where the dataset's reports are not linked."""

    @classmethod
    def of(cls, sources: Mapping[str, SourceCounts], linkage: LinkageCounts | None) -> "IngestReport":
        """Return the report on some sources, with their sum."""
        return cls(sources=dict(sources), total=Totals.of(sources), linkage=linkage)
