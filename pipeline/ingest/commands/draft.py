"""A file without a mapping -> the text of a first mapping, for a person to finish."""

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

from pipeline.ingest.mapping.fields import TO_FILL_IN, Format, Timestamp
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
"""A column with an empty cell in the header, as `header.distinct` names it."""

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
"""Share of a column's values that must fit a guess; the rules reject the others."""
_OPEN = json.dumps(TO_FILL_IN)


@dataclass(frozen=True)
class ColumnSample:
    """Some thousand values of one column of the file."""

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

    It has the format, encoding, delimiter, decimal sign, date formats, position, key, and the values that need a map.
    `TO_FILL_IN` stands where only a person knows the value.

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
            ColumnSample(name, _texts(chunk.columns.column(i)))
            for i, name in enumerate(chunk.columns.schema.names)
            if not _NAMELESS.fullmatch(name)  # a mapping could not name it without doubt
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
    occurred = min(dates.items(), key=lambda item: _REPORTED.search(item[0]) is not None, default=None)
    reported = next((item for item in dates.items() if _REPORTED.search(item[0]) and item != occurred), None)
    lines = [
        f"file: {path.name}    # its path below the mirror",
        f'about: "{TO_FILL_IN}"    # who publishes it, under which licence, and the choices made below',
        "table: incidents    # or detections, observations, places",
        f"format: {_format_text(form, decimal)}",
        f"key: {_flow([key.name] if key else [])}    # columns that name a record; none: its row number",
        "fields:",
        *_mapped("event_type", event, "explosion, found_cleared, seizure, attack_other, threat_report, hoax_false"),
        *_mapped("hazard", hazard, "ied, mine, uxo, unknown"),
        *([f"  victim_count: {{column: {_quoted(victims.name)}}}"] if victims else []),
        f"  source_reliability: {{constant: {_OPEN}}}    # A to F; F: cannot be judged",
        f"  information_credibility: {{constant: {_OPEN}}}    # 1 to 6; 6: cannot be judged",
        "occurred_at:",
        f"  column: {_quoted(occurred[0] if occurred else TO_FILL_IN)}",
        f"  formats: {_flow([occurred[1] if occurred else TO_FILL_IN])}",
        f"  zone: {_OPEN}    # of the file's clock, as America/Bogota",
        f"  precision: {_OPEN}    # minute, day, week, month, year: how long a period a date stands for",
        "available_at:",
        *_available_text(reported),
        "position:",
        *_position_text(form, latitude, longitude),
        f"  precision_m: {_OPEN}    # radius that holds the true place",
        f"marking: {{originator: {_OPEN}, releasable_to: [{_OPEN}], tlp: {_OPEN}}}",
    ]
    used = {c.name for c in (key, event, hazard, victims, latitude, longitude) if c} | (
        {item[0] for item in (occurred, reported) if item}
    )
    unused = [column for column in columns if column.name not in used]
    lines += ["# columns not used, with some of their values:", *(f"#   {_glimpse(column)}" for column in unused)]
    return "\n".join(lines) + "\n"


def guess_format(path: Path) -> Format:
    """Guess a file's format from its name and its first bytes."""
    name = path.name.removesuffix(".gz")
    kind: Kind = _SUFFIXES.get(Path(name).suffix.lower(), "csv")
    packed = path.name.endswith(".gz")
    if kind == "excel":
        filled = [sheet for sheet, rows in rows_by_sheet(path, Format(kind="excel")).items() if rows]
        return Format(kind="excel", sheet=filled[0] if len(filled) > 1 else None)
    if kind == "parquet":
        return Format(kind=kind)
    head = _head(path, packed)  # the raw bytes: a reader of mapped files replaces invalid ones
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
        return "cp1252"  # a spreadsheet on a western machine writes it
    return "utf-8"


def _texts(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.binary_length(column), 0), pa.scalar(None, pa.string()), column)


def _is_decimal_comma(column: ColumnSample) -> bool:
    texts = column.texts.drop_null()
    return len(texts) > 0 and bool(pc.all(pc.match_substring_regex(texts, r"^-?\d+,\d+$")).as_py())


def _date_format(column: ColumnSample) -> str | None:
    """Return the first format in which nearly every value is a date; None where the column may hold plain numbers."""
    texts = column.texts.drop_null()
    if not len(texts):
        return None
    for form in _FORMATS:
        if form in ("%Y", "%Y%m%d") and not re.search(r"year|date|fecha|anio|año|fech", column.name, re.IGNORECASE):
            continue
        if timestamps.parse(texts, Timestamp(column=column.name, formats=[form])).ok.mean() >= _MOST:
            return form
    return None


def _first(columns: list[ColumnSample], name: re.Pattern[str], limit_deg: float) -> ColumnSample | None:
    for column in columns:
        numbers = column.numbers if name.search(column.name) else None
        if numbers is not None and (np.abs(numbers) <= limit_deg).mean() >= _MOST:
            return column
    return None


def _mapped(target: str, column: ColumnSample | None, words: str) -> list[str]:
    if column is None:
        return [f"  {target}: {{constant: {_OPEN}}}    # {words}"]
    lines = [f"  {target}:    # {words}", f"    column: {_quoted(column.name)}", "    values:"]
    blank = [""] if column.texts.null_count else []
    return lines + [f"      {_quoted(value)}: {_OPEN}" for value in [*blank, *column.values]]


def _available_text(reported: tuple[str, str] | None) -> list[str]:
    if reported is None:
        return [f"  delay_days: {_OPEN}    # after that period; or at: {{column: ..., formats: [...]}}"]
    at = f"{{column: {_quoted(reported[0])}, formats: {_flow([reported[1]])}, zone: {_OPEN}}}"
    return [f"  at: {at}    # or delay_days: after that period"]


def _position_text(form: Format, latitude: ColumnSample | None, longitude: ColumnSample | None) -> list[str]:
    if form.kind == "geojson":
        return ["  geometry: point"]
    names = [column.name if column else TO_FILL_IN for column in (latitude, longitude)]
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


def _glimpse(column: ColumnSample) -> str:
    values = column.values
    shown = ", ".join(_quoted(as_shown(value)[:40]) for value in values[:5])
    return f"{_quoted(column.name)}: {shown}" + (f", … ({len(values):,} values)" if len(values) > 5 else "")


def _flow(values: list[str]) -> str:
    return "[" + ", ".join(_quoted(value) for value in values) + "]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
