"""A file nobody has mapped yet -> the text of a first mapping, for a person to finish."""

import codecs
import gzip
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.mapping.fields import FINISH, Format, Moment
from pipeline.ingest.reading import readers
from pipeline.ingest.reading.chunk import SourceError
from pipeline.ingest.reading.files import MIB
from pipeline.ingest.reading.unreadable import as_shown
from pipeline.ingest.reading.workbooks import rows_by_sheet
from pipeline.ingest.rules import timestamps

Kind = Literal["csv", "jsonl", "geojson", "parquet", "excel"]

_SUFFIXES: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".geojson": "geojson",
    ".parquet": "parquet",
    ".xlsx": "excel",
}
_FORMATS = (
    *("iso8601", "%Y-%m-%d", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y"),
    *("%d-%m-%Y %H:%M", "%d-%m-%Y", "%Y/%m/%d %H:%M", "%Y/%m/%d"),
    *("%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%Y%m%d", "%Y-%m", "%Y"),
)
_NAMELESS = re.compile(r"\s*( \(\d+\))?")
"""A column whose cell in the header is empty, as `header.distinct` tells it apart from others of that kind."""

_LATITUDE = re.compile(r"(^|[._ ])(lat|latitude|latitud|y)($|[._ ])", re.IGNORECASE)
_LONGITUDE = re.compile(r"(^|[._ ])(lon|lng|long|longitude|longitud|x)($|[._ ])", re.IGNORECASE)
_KEY = re.compile(
    r"(^|[._ ])(id|no|nr|num|number|code|codigo|código|ref|key|exped|case|caso|record|registro)|(id|_no|code)$",
    re.IGNORECASE,
)
_EVENT = re.compile(r"event|suceso|attack|incident", re.IGNORECASE)
_KIND = re.compile(r"type|tipo|kind|categor", re.IGNORECASE)
_REPORTED = re.compile(r"report|inform|publish|entered|created|updated|receiv|recib", re.IGNORECASE)
_HAZARD = re.compile(r"hazard|device|weapon|arma|weap|explos|ordnance|artefacto", re.IGNORECASE)
_VICTIMS = re.compile(r"victim|víctim|casualt|fatal|killed|nkill|deaths|injur|wounded|herid|best", re.IGNORECASE)
_MOST_VALUES = 40
_MOST = 0.9
"""Share of a column's values that must fit a guess; the others are for the rules to refuse."""


@dataclass(frozen=True)
class Seen:
    """One column of the file: up to some thousand of its values."""

    name: str
    texts: pa.Array

    @property
    def values(self) -> list[str]:
        """The distinct values, sorted."""
        return sorted(self.texts.drop_null().unique().to_pylist())

    @property
    def numbers(self) -> np.ndarray | None:
        """The values as numbers, where all of them are."""
        texts = self.texts.drop_null()
        try:
            return np.asarray(pc.cast(pc.replace_substring(texts, ",", "."), pa.float64())) if len(texts) else None
        except pa.ArrowInvalid:
            return None


def draft(path: Path) -> str:
    """Write a first mapping from a file's header and values.

    What the file shows is filled in: format, encoding, delimiter, decimal sign, date format, position, key, the values
    that need a map. What only a person can know is `FINISH`.

    Raises
    ------
    SourceError
        The file cannot be read in the format that it seems to have.
    """
    form = guess_format(path)
    chunk = next(iter(readers.read(path, form, [])), None)
    columns = (
        []
        if chunk is None
        else [
            Seen(name, _texts(chunk.columns.column(i)))
            for i, name in enumerate(chunk.columns.schema.names)
            if not _NAMELESS.fullmatch(name)  # a mapping could not say which it means
        ]
    )
    decimal = "," if any(_is_decimal_comma(column) for column in columns) else "."
    dates = {column.name: guess for column in columns if (guess := _date_format(column)) is not None}
    latitude = _first(columns, _LATITUDE, 90.0)
    longitude = _first(columns, _LONGITUDE, 180.0)
    key = next((c for c in columns if _KEY.search(c.name) and _MOST * len(c.texts) <= len(c.values)), None)
    few = [column for column in columns if 1 <= len(column.values) <= _MOST_VALUES and column.name not in dates]
    event = next((c for pattern in (_EVENT, _KIND) for c in few if pattern.search(c.name)), None)
    hazard = next((c for c in few if _HAZARD.search(c.name)), event)
    victims = next((c for c in columns if _VICTIMS.search(c.name) and c.numbers is not None), None)
    happened = min(dates.items(), key=lambda item: _REPORTED.search(item[0]) is not None, default=None)
    reported = next((item for item in dates.items() if _REPORTED.search(item[0]) and item != happened), None)
    lines = [
        f"file: {path.name}    # its path below the mirror",
        f'about: "{FINISH}"    # who publishes it, under which licence, and the choices made below',
        "table: incidents    # or detections, observations, places",
        f"format: {_format_text(form, decimal)}",
        f"key: {_flow([key.name] if key else [])}    # columns that name a record; none: its row number",
        "fields:",
        *_mapped("event_type", event, "explosion, found_cleared, seizure, attack_other, threat_report, hoax_false"),
        *_mapped("hazard", hazard, "ied, mine, uxo, unknown"),
        *([f"  victim_count: {{column: {_quoted(victims.name)}}}"] if victims else []),
        f"  source_reliability: {{constant: {_quoted(FINISH)}}}    # A to F; F: cannot be judged",
        f"  information_credibility: {{constant: {_quoted(FINISH)}}}    # 1 to 6; 6: cannot be judged",
        "occurred_at:",
        f"  column: {_quoted(happened[0] if happened else FINISH)}",
        f"  formats: {_flow([happened[1] if happened else FINISH])}",
        f"  zone: {_quoted(FINISH)}    # of the file's clock, as America/Bogota",
        f"  precision: {_quoted(FINISH)}    # minute, day, week, month, year: how long a period a date stands for",
        "available_at:",
        *_available_text(reported),
        "position:",
        *_position_text(form, latitude, longitude),
        f"  precision_m: {_quoted(FINISH)}    # radius that holds the true place",
        f"marking: {{originator: {_quoted(FINISH)}, releasable_to: [{_quoted(FINISH)}], tlp: {_quoted(FINISH)}}}",
    ]
    used = {c.name for c in (key, event, hazard, victims, latitude, longitude) if c} | (
        {item[0] for item in (happened, reported) if item}
    )
    unused = [column for column in columns if column.name not in used]
    lines += ["# columns not used, with some of their values:", *(f"#   {_glimpse(column)}" for column in unused)]
    return "\n".join(lines) + "\n"


def guess_format(path: Path) -> Format:
    """Guess how a file is written, from its name and its first bytes."""
    name = path.name.removesuffix(".gz")
    kind: Kind = _SUFFIXES.get(Path(name).suffix.lower(), "csv")
    packed = path.name.endswith(".gz")
    if kind == "excel":
        filled = [sheet for sheet, rows in rows_by_sheet(path, Format(kind="excel")).items() if rows]
        return Format(kind="excel", sheet=filled[0] if len(filled) > 1 else None)
    if kind == "parquet":
        return Format(kind=kind)
    head = _head(path, packed)  # as it is: what reads a mapped file would already have replaced what is not UTF-8
    if kind == "csv" and head.lstrip()[:1] == b"{":
        kind = "geojson" if b'"FeatureCollection"' in head else "jsonl"
    compression: Literal["gzip"] | None = "gzip" if packed else None
    encoding = _encoding(head)
    if kind != "csv":
        return Format(kind=kind, compression=compression, encoding=encoding)
    header = next(iter(head.decode(encoding, "replace").splitlines()), "")
    delimiter = max(",;\t|", key=header.count)
    return Format(kind="csv", compression=compression, encoding=encoding, delimiter=delimiter)


def _head(path: Path, packed: bool) -> bytes:
    with gzip.open(path) if packed else path.open("rb") as stream:
        try:
            return stream.read(MIB)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{path}: not a sound gzip file ({error}); have it sent again") from None


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"  # what a spreadsheet on a western machine writes
    return "utf-8"


def _texts(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.binary_length(column), 0), pa.scalar(None, pa.string()), column)


def _is_decimal_comma(column: Seen) -> bool:
    texts = column.texts.drop_null()
    return len(texts) > 0 and bool(pc.all(pc.match_substring_regex(texts, r"^-?\d+,\d+$")).as_py())


def _date_format(column: Seen) -> str | None:
    """Return the first format in which nearly every value is a date, none where a plain number would do as well."""
    texts = column.texts.drop_null()
    if not len(texts):
        return None
    for form in _FORMATS:
        if form in ("%Y", "%Y%m%d") and not re.search(r"year|date|fecha|anio|año|fech", column.name, re.IGNORECASE):
            continue
        if timestamps.parse(texts, Moment(column=column.name, formats=[form])).ok.mean() >= _MOST:
            return form
    return None


def _first(columns: list[Seen], name: re.Pattern[str], limit_deg: float) -> Seen | None:
    for column in columns:
        numbers = column.numbers if name.search(column.name) else None
        if numbers is not None and (np.abs(numbers) <= limit_deg).mean() >= _MOST:
            return column
    return None


def _mapped(target: str, column: Seen | None, words: str) -> list[str]:
    if column is None:
        return [f"  {target}: {{constant: {_quoted(FINISH)}}}    # {words}"]
    lines = [f"  {target}:    # {words}", f"    column: {_quoted(column.name)}", "    values:"]
    blank = [""] if column.texts.null_count else []
    return lines + [f"      {_quoted(value)}: {_quoted(FINISH)}" for value in [*blank, *column.values]]


def _available_text(reported: tuple[str, str] | None) -> list[str]:
    if reported is None:
        return [f"  delay_days: {_quoted(FINISH)}    # after that period; or at: {{column: ..., formats: [...]}}"]
    at = f"{{column: {_quoted(reported[0])}, formats: {_flow([reported[1]])}, zone: {_quoted(FINISH)}}}"
    return [f"  at: {at}    # or delay_days: after that period"]


def _position_text(form: Format, latitude: Seen | None, longitude: Seen | None) -> list[str]:
    if form.kind == "geojson":
        return ["  geometry: point"]
    names = [column.name if column else FINISH for column in (latitude, longitude)]
    other = "    # or mgrs: column; or place: {column: ..., source: a gazetteer}"
    return [f"  latitude: {_quoted(names[0])}{other}", f"  longitude: {_quoted(names[1])}"]


def _format_text(form: Format, decimal: str) -> str:
    parts = [f"kind: {form.kind}"]
    if form.sheet is not None:
        parts.append(f"sheet: {_quoted(form.sheet)}")
    if form.compression:
        parts.append(f"compression: {form.compression}")
    if form.encoding != "utf-8":
        parts.append(f"encoding: {form.encoding}")
    if form.kind == "csv" and form.delimiter != ",":
        parts.append(f"delimiter: {_quoted(form.delimiter)}")
    if decimal != ".":
        parts.append(f"decimal: {_quoted(decimal)}")
    return "{" + ", ".join(parts) + "}"


def _glimpse(column: Seen) -> str:
    values = column.values
    shown = ", ".join(_quoted(as_shown(value)[:40]) for value in values[:5])
    return f"{_quoted(column.name)}: {shown}" + (f", … ({len(values):,} values)" if len(values) > 5 else "")


def _flow(values: list[str]) -> str:
    return "[" + ", ".join(_quoted(value) for value in values) + "]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
