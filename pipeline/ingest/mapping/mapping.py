"""data/sources/<source>.yaml -> a frozen, validated mapping from one partner's file onto one canonical table.

`fields` has the parts of a mapping: fields, timestamps and positions.
"""

import re
from collections.abc import Iterable
from dataclasses import field
from datetime import date
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen
from pydantic import AfterValidator, model_validator
from pydantic.dataclasses import dataclass

from pipeline.ingest.mapping.fields import (
    AvailabilityRule,
    Field,
    FilledText,
    Format,
    OccurrenceRule,
    Position,
    Timestamp,
)
from pipeline.params.declarations import read_declaration
from pipeline.params.names import nearest
from pipeline.params.strict import STRICT
from pipeline.runtime.errors import DeclarationError
from pipeline.storage.marking import ALL
from pipeline.storage.schemas import OCCURRED_PRECISIONS, TableName, Tlp, tables

STATUSES = ("report", "correction", "withdrawal")

_CODE = re.compile("[A-Za-z0-9_-]{1,40}")


def _one_partner(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("expected the code of one partner: at most 40 letters A to Z, digits, _ and -")
    return code


def _no_group(code: str) -> str:
    if code == ALL:
        raise ValueError(f"expected the code of the partner that owns the rows; {ALL} is everybody")
    return code


Partner = Annotated[FilledText, AfterValidator(_one_partner)]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Exclusion:
    """Rows of another kind than the table's: they go to the quarantine under the rule `excluded`."""

    column: FilledText
    values: Annotated[list[str], MinLen(1)]
    because: FilledText


@dataclass(frozen=True, config=STRICT, kw_only=True)
class SourceMarking:
    """The owner of a source's rows, and the partners that may have them."""

    originator: Annotated[Partner, AfterValidator(_no_group)]
    releasable_to: Annotated[list[Partner], MinLen(1)]
    tlp: Tlp


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Mapping:
    """How one partner's file becomes rows of one canonical table."""

    file: FilledText
    """Path under data/raw/<dataset>, and under the mirror."""
    about: FilledText
    """The file, its publisher, and the choices that the mapping makes."""
    table: TableName
    format: Format
    key: list[FilledText] = field(default_factory=list)
    """Columns that identify a record: a later row with the same key is a new version. None: the row number."""
    fields: dict[str, Field]
    """Column of the table -> the mapping field of its values."""
    occurred_at: OccurrenceRule | None = None
    observed_at: OccurrenceRule | None = None
    available_at: AvailabilityRule
    outcome_at: AvailabilityRule | None = None
    position: Position | None = None
    status: Field | None = None
    """Whether each row is a `report`, `correction` or `withdrawal`; all are reports where not given."""
    exclude: list[Exclusion] = field(default_factory=list)
    marking: SourceMarking
    simulated: bool = False
    last_day: date | None = None
    """Day on which the file was cut: nothing in it happened later."""

    @property
    def occurrence(self) -> OccurrenceRule | None:
        """When the reported event took place; None for places."""
        return self.occurred_at or self.observed_at

    @property
    def gazetteer(self) -> str | None:
        """The source of places in which the mapping looks places up."""
        return self.position.place.source if self.position and self.position.place else None

    @property
    def columns(self) -> list[str]:
        """Every column of the file that is read, once, in the order of the mapping."""
        precision = self.occurrence.precision if self.occurrence else None
        used = [
            *self.key,
            *(name for mapped in self.fields.values() for name in mapped.sources),
            *(name for timestamp in self._timestamps for name in timestamp.sources),
            *(precision.sources if isinstance(precision, Field) else []),
            *(self.position.sources if self.position else []),
            *(self.status.sources if self.status else []),
            *(exclusion.column for exclusion in self.exclude),
        ]
        return list(dict.fromkeys(used))

    @property
    def serials(self) -> list[str]:
        """The columns that hold day numbers of a workbook."""
        dated = [timestamp for timestamp in self._timestamps if "excel_serial" in timestamp.formats]
        return list(dict.fromkeys(name for timestamp in dated for name in timestamp.sources))

    @property
    def _timestamps(self) -> list[Timestamp]:
        stated = [self.occurrence, self.available_at.at, self.outcome_at.at if self.outcome_at else None]
        return [timestamp for timestamp in stated if timestamp]

    @model_validator(mode="after")
    def _fits_its_table(self) -> "Mapping":
        table = tables()[self.table]
        for name in ("occurred_at", "observed_at"):
            if (getattr(self, name) is not None) != (name == table.occurred):
                raise ValueError(f"table {self.table} {'needs' if name == table.occurred else 'has no'} {name}")
        if self.outcome_at is not None and self.table != "detections":
            raise ValueError(f"table {self.table} has no outcome_at")
        if self.occurrence is None and self.available_at.at is None:
            raise ValueError("available_at: a delay needs a time to count from; expected at")
        _check_vocabulary("status", self.status, STATUSES)
        if self.status is not None and (not self.key or self.available_at.at is None):
            raise ValueError("status: a correction needs a key, and available_at.at for the time of the report")
        for column in table.columns:
            if column.words and column.name in self.fields:
                words = column.words if column.unjudged is None else (*column.words, column.unjudged)
                _check_vocabulary(column.name, self.fields[column.name], words)
        precision = self.occurrence.precision if self.occurrence else None
        if isinstance(precision, Field):
            _check_vocabulary("precision", precision, OCCURRED_PRECISIONS)
        return self


def read_mapping(path: Path, *, measured: Iterable[str]) -> Mapping:
    """Read and validate one mapping.

    Parameters
    ----------
    path
        The YAML file.
    measured
        The measured columns of the dataset's detections (`Params.measured`).

    Raises
    ------
    DeclarationError
        An unknown key or column, a value outside a vocabulary, a format that cannot be; every line names file and key.
    """
    mapping = read_declaration(path, Mapping)
    table = tables(measured)[mapping.table]
    known = [*table.required, *table.optional]
    faults = [
        f"{path}: fields.{name}: table {mapping.table} has no such column{nearest(name, known)} "
        f"(known: {', '.join(known)})"
        for name in mapping.fields
        if name not in known
    ]
    faults += [
        f"{path}: fields.{name}: missing; table {mapping.table} needs it"
        for name in table.required
        if name not in mapping.fields
    ]
    if faults:
        raise DeclarationError("\n".join(faults))
    return mapping


def _check_vocabulary(name: str, mapped: Field | None, words: tuple[str, ...]) -> None:
    if mapped is None:
        return
    ours = mapped.values.values() if mapped.values is not None else [mapped.constant]
    for word in ours:
        if word is not None and str(word) not in words:
            raise ValueError(f"{name}: {word!r} is not one of {', '.join(words)}{nearest(str(word), words)}")
