"""data/sources/<source>.yaml -> a frozen, validated mapping from one partner's file onto one canonical table.

What a mapping is made of, fields, moments and positions, stands in `entries`.
"""

import re
from collections.abc import Iterable
from dataclasses import field
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import AfterValidator, model_validator
from pydantic.dataclasses import dataclass

from pipeline.ingest.mapping.fields import Field, Format, Known, Moment, Name, Occurred, Position
from pipeline.params.declarations import STRICT, nearest, read_declaration
from pipeline.runtime.errors import DeclarationError
from pipeline.storage.marking import ALL
from pipeline.storage.schemas import OCCURRED_PRECISIONS, TableName, tables

Colour = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
STATUSES = ("report", "correction", "withdrawal")


_CODE = re.compile("[A-Za-z0-9_-]{1,40}")


def _one_partner(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("expected the code of one partner: at most 40 letters A to Z, digits, _ and -")
    return code


def _an_owner(code: str) -> str:
    if code == ALL:
        raise ValueError(f"expected the code of the partner that owns the rows; {ALL} is everybody")
    return code


Partner = Annotated[Name, AfterValidator(_one_partner)]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Exclusion:
    """Rows that are not what the table is about: they go to the quarantine under the rule `excluded`."""

    column: Name
    values: Annotated[list[str], MinLen(1)]
    because: Name


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Marking:
    """Who owns the rows and who else may have them."""

    originator: Annotated[Partner, AfterValidator(_an_owner)]
    releasable_to: Annotated[list[Partner], MinLen(1)]
    tlp: Colour


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Mapping:
    """How one partner's file becomes rows of one canonical table."""

    file: Name
    """Path under data/raw/<dataset>, and under the mirror."""
    about: Name
    """What the file is, who publishes it, and which choices the mapping makes."""
    table: TableName
    format: Format
    key: list[Name] = field(default_factory=list)
    """Columns that identify a record, so that a later row with the same key is a new version; none: the row number."""
    fields: dict[str, Field]
    """Column of the table -> where its values come from."""
    occurred_at: Occurred | None = None
    observed_at: Occurred | None = None
    available_at: Known
    outcome_at: Known | None = None
    position: Position | None = None
    status: Field | None = None
    """`report`, `correction` or `withdrawal`, of each row; every row is a report where not given."""
    exclude: list[Exclusion] = field(default_factory=list)
    marking: Marking
    simulated: bool = False
    last_day: date | None = None
    """Day on which the file was cut: nothing in it happened later."""

    @property
    def happened(self) -> Occurred | None:
        """When the thing reported took place; None for places."""
        return self.occurred_at or self.observed_at

    @property
    def gazetteer(self) -> str | None:
        """The source of places in which places are looked up."""
        return self.position.place.source if self.position and self.position.place else None

    @property
    def columns(self) -> list[str]:
        """Every column of the file that is read, once, in the order of the mapping."""
        precision = self.happened.precision if self.happened else None
        used = [
            *self.key,
            *(name for entry in self.fields.values() for name in entry.sources),
            *(name for moment in self._moments for name in moment.sources),
            *(precision.sources if isinstance(precision, Field) else []),
            *(self.position.sources if self.position else []),
            *(self.status.sources if self.status else []),
            *(entry.column for entry in self.exclude),
        ]
        return list(dict.fromkeys(used))

    @property
    def serials(self) -> list[str]:
        """The columns that are read as day numbers of a workbook."""
        dated = [moment for moment in self._moments if "excel_serial" in moment.formats]
        return list(dict.fromkeys(name for moment in dated for name in moment.sources))

    @property
    def _moments(self) -> list[Moment]:
        stated = [self.happened, self.available_at.at, self.outcome_at.at if self.outcome_at else None]
        return [moment for moment in stated if moment]

    @model_validator(mode="after")
    def _fits_its_table(self) -> "Mapping":
        table = tables()[self.table]
        clock = table.occurred
        for name in ("occurred_at", "observed_at"):
            if (getattr(self, name) is not None) != (name == clock):
                raise ValueError(f"table {self.table} {'needs' if name == clock else 'has no'} {name}")
        if self.outcome_at is not None and self.table != "detections":
            raise ValueError(f"table {self.table} has no outcome_at")
        if self.happened is None and self.available_at.at is None:
            raise ValueError("available_at: a delay needs a time to count from; expected at")
        _check_vocabulary("status", self.status, STATUSES)
        if self.status is not None and (not self.key or self.available_at.at is None):
            raise ValueError("status: a correction needs a key, and available_at.at for the time of the report")
        for column in table.columns:
            if column.words and column.name in self.fields:
                words = column.words if column.unjudged is None else (*column.words, column.unjudged)
                _check_vocabulary(column.name, self.fields[column.name], words)
        precision = self.happened.precision if self.happened else None
        if isinstance(precision, Field):
            _check_vocabulary("precision", precision, OCCURRED_PRECISIONS)
        return self


def read_mapping(path: Path, *, measured: Iterable[str]) -> Mapping:
    """Read and validate one mapping.

    Parameters
    ----------
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


def _check_vocabulary(name: str, entry: Field | None, words: tuple[str, ...]) -> None:
    if entry is None:
        return
    ours = entry.values.values() if entry.values is not None else [entry.constant]
    for word in ours:
        if word is not None and str(word) not in words:
            raise ValueError(f"{name}: {word!r} is not one of {', '.join(words)}{nearest(str(word), words)}")
