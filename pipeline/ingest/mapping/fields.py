"""The parts of a `mapping.Mapping`: where the values, timestamps and positions of a row come from.

A `Field` gives a value of the table: from columns, a value map or a constant. A `Timestamp` gives a time, a `Position`
a place. Everything in a file is text until the mapping gives it a type.
"""

from dataclasses import field
from datetime import date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from annotated_types import Ge, Gt, MinLen
from pydantic import AfterValidator, field_validator, model_validator
from pydantic.dataclasses import dataclass

from pipeline.params.names import nearest
from pipeline.params.strict import STRICT

Precision = Literal["minute", "day", "week", "month", "year"]
NAMED_FORMATS = ("iso8601", "excel_serial", "unix_s", "unix_ms")
DIRECTIVES = "YmdHMSfyjbBzp"
"""Directives of `strptime` that a date format may use, besides ``%%``."""

ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

ANY = "*"
"""In a value map over several columns: any value of that column."""

BETWEEN = " | "
"""Separates the columns' values in the key of a value map over several columns."""

GEOMETRY = ("geometry.longitude", "geometry.latitude")
"""Columns in which the GeoJSON reader gives a feature's point, as text."""

TO_FILL_IN = "?"
"""`draft` writes it where only a person knows the value."""


def _filled_in(text: str) -> str:
    if text == TO_FILL_IN:
        raise ValueError(f"expected a value in place of the draft's {TO_FILL_IN!r}")
    return text


FilledText = Annotated[str, MinLen(1), AfterValidator(_filled_in)]
"""Text that is neither empty nor left open by `draft`."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Format:
    """How the file is written."""

    kind: Literal["csv", "jsonl", "geojson", "parquet", "excel"]
    compression: Literal["gzip"] | None = None
    encoding: str = "utf-8"
    """Any name that Python's codecs know; a byte order mark is skipped."""
    delimiter: Annotated[str, MinLen(1)] = ","
    quoted_newlines: Annotated[int, Ge(0)] = 20
    """CSV: line ends that a quoted value may hold; a quote that takes in more refuses its line."""
    decimal: Literal[".", ","] = "."
    missing: list[str] = field(default_factory=lambda: [""])
    """Texts that mean that there is no value, besides an absent or null one."""
    sheet: str | None = None
    """Sheet of a workbook; not given, the first one, and no other may hold rows."""
    points: Literal["features", "vertices"] = "features"
    """GeoJSON: a record is a feature, or each vertex of a feature's lines."""
    limit_mib: Annotated[float, Gt(0)] | None = None
    """Unpacked size beyond which the file is refused; `largest_mib` where not given."""

    @property
    def largest_mib(self) -> float:
        """Unpacked size beyond which the file is refused: smaller for a packed one, as a zip bomb is one."""
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
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise ValueError("expected one character of ASCII")
        return delimiter


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Field:
    """A mapping field: the values of one column of the table come from a column, several, or a constant."""

    column: FilledText | None = None
    columns: Annotated[list[FilledText], MinLen(2)] | None = None
    constant: str | int | float | None = None
    values: dict[str, str | None] | None = None
    """The partner's value -> ours; null where it means that there is none. Ingest rejects a row with another value.

    The key ``""`` is a missing value. Without it, a missing value rejects the row where the table needs one.
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
class Timestamp:
    """A time comes from columns, joined by one space, in one of several formats, or is a constant."""

    column: FilledText | None = None
    columns: Annotated[list[FilledText], MinLen(2)] | None = None
    constant: date | datetime | None = None
    formats: list[str] = field(default_factory=list)
    """`strptime` formats, or `iso8601`, `excel_serial`, `unix_s`, `unix_ms`; the first that fits counts."""
    zone: str = "UTC"
    """Time zone (IANA) of texts that have none."""
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
    def _has_one_origin(self) -> "Timestamp":
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
class OccurrenceRule(Timestamp):
    """When an event happened, and the length of the period that its date means."""

    precision: Precision | Field = "day"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class AvailabilityRule:
    """When a row could first be known: at the file's own timestamp, or after a delay.

    The delay counts from the end of the period in which the event happened. A row dated by month, with a delay of 30
    days, is known 30 days after that month. With both, the delay serves the rows without a timestamp.
    """

    at: Timestamp | None = None
    delay_days: Annotated[float, Ge(0)] | None = None

    @model_validator(mode="after")
    def _has_an_origin(self) -> "AvailabilityRule":
        if self.at is None and self.delay_days is None:
            raise ValueError("expected at, delay_days, or both")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PlaceCode:
    """A column of place codes, looked up in a gazetteer: a source of places of the same dataset."""

    column: FilledText
    source: FilledText


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Position:
    """The place of a row comes from two columns in degrees, the feature's geometry, MGRS, or a place code."""

    latitude: FilledText | None = None
    longitude: FilledText | None = None
    geometry: Literal["point"] | None = None
    mgrs: FilledText | None = None
    place: PlaceCode | None = None
    precision_m: Annotated[float, Gt(0)] | Field
    """Radius that holds the true place."""

    @property
    def sources(self) -> list[str]:
        """The columns of the file that are read."""
        columns = [self.latitude, self.longitude, self.mgrs, self.place.column if self.place else None]
        precision = self.precision_m.sources if isinstance(self.precision_m, Field) else []
        return [name for name in columns if name] + (list(GEOMETRY) if self.geometry else []) + precision

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Position":
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude come together")
        _exactly_one(latitude=self.latitude, geometry=self.geometry, mgrs=self.mgrs, place=self.place)
        return self


def _exactly_one(**origins: object) -> None:
    given = [name for name, value in origins.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of {', '.join(origins)}; got {', '.join(given) or 'none'}")


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
