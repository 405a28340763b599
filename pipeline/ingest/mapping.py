"""data/sources/<source>.yaml -> a frozen, validated mapping from one partner's file onto one canonical table.

A value of the table comes from a `Field` (columns, a value map, a constant), an instant from a `Moment`, a place from
a `Position`. Everything a file can say is text until the mapping gives it a type.
"""

from collections.abc import Iterable
from dataclasses import field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from annotated_types import Ge, Gt, MinLen
from pydantic import AfterValidator, field_validator, model_validator
from pydantic.dataclasses import dataclass

from pipeline.declarations import STRICT, DeclarationError, nearest, read_declaration
from pipeline.tables import INCIDENTS, OBSERVATIONS, OCCURRED_PRECISIONS, PLACES, VOCABULARIES

TableName = Literal["incidents", "detections", "observations", "places"]
Precision = Literal["minute", "day", "week", "month", "year"]
Colour = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
STATUSES = ("report", "correction", "withdrawal")
NAMED_FORMATS = ("iso8601", "excel_serial", "unix_s", "unix_ms")
DIRECTIVES = "YmdHMSfyjbBzp"
"""Directives of `strptime` that a date format may use, besides ``%%``."""

ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

ANY = "*"
"""In a value map over several columns: whatever that column holds."""

BETWEEN = " | "
"""Stands between the columns' values in the key of a value map over several columns."""

FINISH = "?"
"""What `draft` writes where only a person can know."""


def _told(name: str) -> str:
    if name == FINISH:
        raise ValueError(f"expected a value in place of the draft's {FINISH!r}")
    return name


Name = Annotated[str, MinLen(1), AfterValidator(_told)]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Format:
    """How the file is written."""

    kind: Literal["csv", "jsonl", "geojson", "parquet", "excel"]
    compression: Literal["gzip"] | None = None
    encoding: str = "utf-8"
    """Any name that Python's codecs know; a byte order mark is skipped."""
    delimiter: Annotated[str, MinLen(1)] = ","
    decimal: Literal[".", ","] = "."
    missing: list[str] = field(default_factory=lambda: [""])
    """Texts that mean that there is no value, besides an absent or null one."""
    sheet: str | None = None
    """Sheet of a workbook; the first where not given."""
    points: Literal["features", "vertices"] = "features"
    """GeoJSON: a record is a feature, or each vertex of a feature's lines."""
    limit_mib: Annotated[float, Gt(0)] | None = None
    """Unpacked size beyond which the file is refused; `most_mib` where not given."""

    @property
    def most_mib(self) -> float:
        """Unpacked size beyond which the file is refused: less for one that is packed, where a zip bomb ends."""
        if self.limit_mib is not None:
            return self.limit_mib
        return 4096.0 if self.compression or self.kind in ("parquet", "excel") else 65536.0

    @field_validator("encoding")
    @classmethod
    def _is_a_codec(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise ValueError("expected the name of a text encoding, as utf-8 or latin-1") from None
        return name

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ValueError("expected one character")
        return delimiter


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Field:
    """Where the values of one column of the table come from: a column, several, or a constant."""

    column: Name | None = None
    columns: Annotated[list[Name], MinLen(2)] | None = None
    constant: str | int | float | None = None
    values: dict[str, str | None] | None = None
    """The partner's value -> ours; null where it means that there is none. A value not listed refuses the row.

    The key ``""`` is a missing value: without it one refuses the row where the table needs a word.
    """
    multiply_by: float | None = None
    """The partner's unit in ours."""

    @property
    def sources(self) -> list[str]:
        """The columns of the file that are read."""
        return [self.column] if self.column else list(self.columns or [])

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Field":
        _exactly_one(column=self.column, columns=self.columns, constant=self.constant)
        if self.constant is not None and (self.values or self.multiply_by):
            raise ValueError("a constant takes neither values nor multiply_by")
        if self.values is not None and self.multiply_by is not None:
            raise ValueError("expected values or multiply_by, not both")
        if self.columns:
            if self.values is None:
                raise ValueError("columns need values, keyed 'first | second'")
            for key in self.values:
                if len(key.split(BETWEEN)) != len(self.columns):
                    raise ValueError(
                        f"values: key {key!r}; expected {len(self.columns)} values with {BETWEEN!r} between"
                    )
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Moment:
    """Where an instant comes from: columns (joined by one space) in one of several formats, or a constant."""

    column: Name | None = None
    columns: Annotated[list[Name], MinLen(2)] | None = None
    constant: date | datetime | None = None
    formats: list[str] = field(default_factory=list)
    """`strptime` formats, or `iso8601`, `excel_serial`, `unix_s`, `unix_ms`; the first that fits is taken."""
    zone: str = "UTC"
    """Time zone (IANA) of texts that state none."""
    months: list[str] = field(default_factory=lambda: list(ENGLISH_MONTHS))
    """The partner's names of the twelve months, for %b and %B; case does not matter."""

    @property
    def sources(self) -> list[str]:
        """The columns of the file that are read."""
        return [self.column] if self.column else list(self.columns or [])

    @property
    def tzinfo(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.zone)

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Moment":
        _exactly_one(column=self.column, columns=self.columns, constant=self.constant)
        if bool(self.formats) == (self.constant is not None):
            raise ValueError("columns need formats, a constant takes none")
        if self.zone not in available_timezones():
            raise ValueError(f"zone {self.zone!r} is not a time zone{nearest(self.zone, available_timezones())}")
        if len(self.months) != 12:
            raise ValueError(f"months has {len(self.months)} names; expected 12")
        for form in self.formats:
            _check_date_format(form)
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Occurred(Moment):
    """When it happened, and how long the period is that the file's date stands for."""

    precision: Precision | Field = "day"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Known:
    """When a row could first be known: the file's own time stamp, or a stated delay.

    The delay counts from the end of the period in which it happened: a row dated by month and stated with 30 days
    is known 30 days after that month. With both, the delay serves the rows that have no time stamp.
    """

    at: Moment | None = None
    delay_days: Annotated[float, Ge(0)] | None = None

    @model_validator(mode="after")
    def _has_an_origin(self) -> "Known":
        if self.at is None and self.delay_days is None:
            raise ValueError("expected at, delay_days, or both")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Gazetteer:
    """A place code, looked up among the records of a source of places of the same dataset."""

    column: Name
    source: Name


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Position:
    """Where a row's place comes from: two columns in degrees, the feature's geometry, MGRS, or a place code."""

    latitude: Name | None = None
    longitude: Name | None = None
    geometry: Literal["point"] | None = None
    mgrs: Name | None = None
    place: Gazetteer | None = None
    precision_m: Annotated[float, Gt(0)] | Field
    """Radius that holds the true place."""

    @property
    def sources(self) -> list[str]:
        """The columns of the file that are read."""
        named = [self.latitude, self.longitude, self.mgrs, self.place.column if self.place else None]
        precise = self.precision_m.sources if isinstance(self.precision_m, Field) else []
        return [name for name in named if name] + (list(GEOMETRY) if self.geometry else []) + precise

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Position":
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude come together")
        _exactly_one(latitude=self.latitude, geometry=self.geometry, mgrs=self.mgrs, place=self.place)
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Exclusion:
    """Rows that are not what the table is about: they go to the quarantine under the rule `excluded`."""

    column: Name
    values: Annotated[list[str], MinLen(1)]
    because: Name


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Marking:
    """Who owns the rows and who may have them."""

    originator: Name
    releasable_to: Annotated[list[Name], MinLen(1)]
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
        moments = [self.happened, self.available_at.at, self.outcome_at.at if self.outcome_at else None]
        precision = self.happened.precision if self.happened else None
        used = [
            *self.key,
            *(name for entry in self.fields.values() for name in entry.sources),
            *(name for moment in moments if moment for name in moment.sources),
            *(precision.sources if isinstance(precision, Field) else []),
            *(self.position.sources if self.position else []),
            *(self.status.sources if self.status else []),
            *(entry.column for entry in self.exclude),
        ]
        return list(dict.fromkeys(used))

    @model_validator(mode="after")
    def _fits_its_table(self) -> "Mapping":
        clock = {"incidents": "occurred_at", "observations": "occurred_at", "detections": "observed_at"}.get(self.table)
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
        for name, entry in self.fields.items():
            if name in VOCABULARIES:
                _check_vocabulary(name, entry, (*VOCABULARIES[name], *_CANNOT_BE_JUDGED.get(name, ())))
        precision = self.happened.precision if self.happened else None
        if isinstance(precision, Field):
            _check_vocabulary("precision", precision, OCCURRED_PRECISIONS)
        return self


GEOMETRY = ("geometry.longitude", "geometry.latitude")
"""Columns in which the GeoJSON reader gives a feature's point, as text."""

_CANNOT_BE_JUDGED = {"source_reliability": ("F",), "information_credibility": ("6",)}
_FIELDS: dict[str, tuple[list[str], list[str]]] = {
    # table -> what a mapping must give, what it may give
    "incidents": (["event_type", "hazard"], ["victim_count", "source_reliability", "information_credibility"]),
    "observations": (["kind", "value", "unit"], ["source_reliability", "information_credibility"]),
    "places": (["kind"], ["name", "value", "unit"]),
    "detections": (["sensor_id", "modality", "outcome", "group_id"], []),
}


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
    required, optional = _FIELDS[mapping.table]
    known = [*required, *optional, *(measured if mapping.table == "detections" else [])]
    faults = [
        f"{path}: fields.{name}: table {mapping.table} has no such column{nearest(name, known)} "
        f"(known: {', '.join(known)})"
        for name in mapping.fields
        if name not in known
    ]
    faults += [
        f"{path}: fields.{name}: missing; table {mapping.table} needs it"
        for name in required
        if name not in mapping.fields
    ]
    if faults:
        raise DeclarationError("\n".join(faults))
    return mapping


def column_type(table: TableName, name: str) -> str:
    """Return what a mapped column of a table holds: ``text`` or ``number``."""
    schema = {"incidents": INCIDENTS, "observations": OBSERVATIONS, "places": PLACES}.get(table)
    if schema is None:  # detections: everything that is not one of its own texts is measured
        return "text" if name in _FIELDS["detections"][0] else "number"
    return "text" if str(schema.field(name).type) == "string" else "number"


def _exactly_one(**origins: object) -> None:
    given = [name for name, value in origins.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of {', '.join(origins)}; got {', '.join(given) or 'none'}")


def _check_vocabulary(name: str, entry: Field | None, words: tuple[str, ...]) -> None:
    if entry is None:
        return
    ours = entry.values.values() if entry.values is not None else [entry.constant]
    for word in ours:
        if word is not None and str(word) not in words:
            raise ValueError(f"{name}: {word!r} is not one of {', '.join(words)}{nearest(str(word), words)}")


def _check_date_format(form: str) -> None:
    if form in NAMED_FORMATS:
        return
    parts = form.replace("%%", "").split("%")[1:]
    if not parts:
        raise ValueError(f"format {form!r} has no directive{nearest(form, NAMED_FORMATS)}")
    letters = [part[:1] for part in parts]
    for letter in letters:
        if not letter or letter not in DIRECTIVES:
            known = " ".join(f"%{directive}" for directive in DIRECTIVES)
            raise ValueError(f"format {form!r}: unknown directive %{letter} (known: {known})")
        if letters.count(letter) > 1 or {"b", "B"} <= {*letters}:
            raise ValueError(f"format {form!r}: %{letter} is there twice")
