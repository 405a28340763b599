"""A mapping and its dataset's settings -> all that the rules need to map a record."""

from collections.abc import Mapping as Lookup
from dataclasses import dataclass
from functools import cached_property

from pipeline.ingest.mapping.mapping import Mapping
from pipeline.ingest.rules.border import Border
from pipeline.ingest.rules.gazetteer import Gazetteer
from pipeline.params.datasets import ANY_YEARS, Bounds, Measured, Years
from pipeline.storage.schemas import TableSpec, tables


@dataclass(frozen=True)
class Source:
    """A source of a dataset."""

    name: str
    mapping: Mapping
    bounds: Bounds
    measured: Lookup[str, Measured]
    gazetteers: Lookup[str, Gazetteer]
    border: Border | None = None
    """Every position of a report must lie inside; None where the theatre names none, and for places."""
    years: Years = ANY_YEARS
    """Every date of a record must lie in them."""

    @cached_property
    def table(self) -> TableSpec:
        """The canonical table that the rows go to."""
        return tables(self.measured)[self.mapping.table]
