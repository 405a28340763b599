"""Text in a partner's date formats -> UTC microseconds; 30 February, 24:00 and texts read in part are not dates."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.mapping.fields import Timestamp
from pipeline.params.datasets import Years
from pipeline.storage.schemas import OCCURRED_PRECISIONS

US = 1_000_000
DAY_US = 86_400 * US
_EPOCH_EXCEL_DAYS = -25_569  # 1899-12-30, day zero of Excel's serial numbers
_EXCEL_DAYS = (61.0, 2_958_466.0)  # from 1900-03-01, the first day that Excel counts right, to 9999-12-31

_UNITS = {"day": "D", "month": "M", "year": "Y"}

_PATTERNS = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "j": r"(?P<j>\d{1,3})",
    "H": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,6})",
    "p": r"(?P<p>[AaPp])\.? ?[Mm]\.?",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
}
_ISO8601 = (
    r"(?P<Y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})"
    r"(?:[T ](?P<H>\d{2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:\.(?P<f>\d{1,6}))?)?)?(?P<z>Z|[+-]\d{2}:?\d{2})?"
)


@dataclass(frozen=True)
class Instants:
    """UTC microseconds since 1970, int64, and whether each text is a time, both of shape (n,)."""

    us: np.ndarray
    ok: np.ndarray


def parse(texts: pa.Array, timestamp: Timestamp) -> Instants:
    """Read each text in the first format that fits.

    Parameters
    ----------
    texts
        `string`, shape (n,); null is not a time.
    timestamp
        Formats, zone and names of months.

    Examples
    --------
    >>> dates = parse(pa.array(["29/02/2020", "30/02/2020", "1/3/20"]), Timestamp(column="d", formats=["%d/%m/%Y"]))
    >>> dates.ok.tolist(), dates.us[0] // DAY_US
    ([True, False, False], np.int64(18321))
    """
    result = Instants(np.zeros(len(texts), np.int64), np.zeros(len(texts), bool))
    for form in timestamp.formats:
        todo = ~result.ok
        if not todo.any():
            break
        part = texts if todo.all() else texts.filter(pa.array(todo))
        instants = _parse_as(part, form, timestamp)
        result.us[todo] = instants.us
        result.ok[todo] = instants.ok
    return result


def constant_us(value: date, zone: str) -> int:
    """Return UTC microseconds of a day or time; one without an offset is of the zone's wall clock."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=ZoneInfo(zone))
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def zoned(local_us: np.ndarray, zone: str) -> np.ndarray:
    """Turn wall-clock microseconds into UTC; of a time that a clock change repeats, the earlier one.

    A time that a clock change skips becomes the time of the change. A skipped midnight thus stays in its day.
    """
    if zone == "UTC":
        return local_us
    local = pa.array(local_us, pa.timestamp("us"))
    return _integers(pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest"))


def wall_clock(us: np.ndarray, zone: str) -> np.ndarray:
    """Turn UTC microseconds into those of the zone's wall clock."""
    if zone == "UTC":
        return us
    return _integers(pc.local_timestamp(pa.array(us, pa.timestamp("us", tz=zone))))


def outside(us: np.ndarray, years: Years, zone: str) -> np.ndarray:
    """Return which times lie outside a span of years, by the zone's clock, bool, shape (n,).

    Parameters
    ----------
    us
        UTC microseconds, shape (n,).
    years
        The first and the last year of the span.
    zone
        IANA name.
    """
    begin, end = (constant_us(date(year, 1, 1), zone) for year in (years.first, years.last + 1))
    return np.asarray((us < begin) | (us >= end))


def year_of(us: np.ndarray, zone: str) -> list[int]:
    """Return the year of each time, by the zone's clock."""
    return [int(year) + 1970 for year in wall_clock(us, zone).astype("M8[us]").astype("M8[Y]").astype(np.int64)]


def period(us: np.ndarray, precision: np.ndarray, zone: str) -> tuple[np.ndarray, np.ndarray]:
    """Return start and end of the period of each time, UTC microseconds, int64, shape (n,).

    Parameters
    ----------
    us
        UTC microseconds, shape (n,).
    precision
        Indices into `OCCURRED_PRECISIONS`, int8, shape (n,). A minute counts as the time itself.
    zone
        Days, weeks (from Monday), months and years begin at midnight there.
    """
    local = wall_clock(us, zone)
    start, end = local.copy(), local.copy()
    for index, word in enumerate(OCCURRED_PRECISIONS):
        rows = precision == index
        if word == "minute" or not rows.any():
            continue
        stamps = local[rows].astype("M8[us]")
        if word == "week":
            days = stamps.astype("M8[D]")
            first = days - (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
            bounds = first, first + 7
        else:
            first = stamps.astype(f"M8[{_UNITS[word]}]")
            bounds = first, first + 1
        start[rows], end[rows] = (bound.astype("M8[us]").astype(np.int64) for bound in bounds)
    return zoned(start, zone), zoned(end, zone)


def _parse_as(texts: pa.Array, form: str, timestamp: Timestamp) -> Instants:
    if form == "iso8601":
        fast = _cast_iso8601(texts, timestamp.zone)
        return fast if fast is not None else _parse_pattern(texts, _ISO8601, timestamp)
    if form in ("excel_serial", "unix_s", "unix_ms"):
        return _parse_number(texts, form, timestamp.zone)
    # dates repeat: read each distinct text once
    coded = texts.dictionary_encode()
    distinct = _parse_pattern(coded.dictionary, _pattern(form, timestamp), timestamp)
    codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    return Instants(np.append(distinct.us, 0)[codes], np.append(distinct.ok, False)[codes])


def _cast_iso8601(texts: pa.Array, zone: str) -> Instants | None:
    """Read with Arrow's own strict parser; None where some text is not of the one common form."""
    known = texts.is_valid().to_numpy(zero_copy_only=False)
    try:
        us = _integers(pc.cast(texts, pa.timestamp("us", tz="UTC")))
    except pa.ArrowInvalid:
        try:
            us = zoned(_integers(pc.cast(texts, pa.timestamp("us"))), zone)
        except pa.ArrowInvalid:
            return None
    return Instants(us, known)


def _parse_number(texts: pa.Array, form: str, zone: str) -> Instants:
    plain = pc.match_substring_regex(texts, r"^-?\d{1,15}(\.\d{1,15})?$").fill_null(False)
    numbers = pc.cast(pc.if_else(plain, texts, pa.scalar(None, pa.string())), pa.float64())
    values = numbers.fill_null(0.0).to_numpy(zero_copy_only=False)
    ok = plain.to_numpy(zero_copy_only=False)
    if form == "excel_serial":
        ok = ok & (values >= _EXCEL_DAYS[0]) & (values < _EXCEL_DAYS[1])
        seconds = np.round(
            np.where(ok, values + _EPOCH_EXCEL_DAYS, 0.0) * 86_400
        )  # Excel keeps no finer time than this
        return Instants(zoned(seconds.astype(np.int64) * US, zone), ok)
    scale = US if form == "unix_s" else 1_000
    ok = ok & (np.abs(values) * scale < 2.5e17)  # the year 9892
    return Instants(np.round(np.where(ok, values, 0.0) * scale).astype(np.int64), ok)


def _pattern(form: str, timestamp: Timestamp) -> str:
    names = "|".join(sorted((re.escape(name.casefold()) for name in timestamp.months), key=len, reverse=True))
    short = "|".join(dict.fromkeys(re.escape(name.casefold()[:3]) for name in timestamp.months))
    patterns = {**_PATTERNS, "B": f"(?P<b>(?i:{names}))", "b": rf"(?P<b>(?i:{short}))\.?", "%": "%"}
    pieces = re.split(r"%(.)", form)
    return "".join(patterns[piece] if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))


def _parse_pattern(texts: pa.Array, pattern: str, timestamp: Timestamp) -> Instants:
    matches = pc.extract_regex(texts, f"^(?:{pattern})$")
    ok = matches.is_valid().to_numpy(zero_copy_only=False)
    parts = {field.name: matches.field(i) for i, field in enumerate(matches.type)}

    def number(name: str, default: int) -> np.ndarray:
        if name not in parts:
            return np.full(len(texts), default, np.int64)
        text = pc.if_else(pc.equal(parts[name], ""), pa.scalar(str(default)), parts[name])
        return np.asarray(pc.cast(text, pa.int64()).fill_null(default))

    year = number("Y", 1970)
    if "y" in parts:
        year = number("y", 70)
        year = year + np.where(year < 69, 2000, 1900)  # as POSIX reads %y
    month, day = number("m", 1), number("d", 1)
    if "b" in parts:
        month = _month_numbers(parts["b"], timestamp.months)
    hour, minute, second = number("H", 0), number("M", 0), number("S", 0)
    if "p" in parts:
        ok = ok & (hour >= 1) & (hour <= 12)
        afternoon = pc.equal(pc.utf8_lower(parts["p"]), "p").fill_null(False).to_numpy(zero_copy_only=False)
        hour = hour % 12 + 12 * afternoon
    ok = ok & (year >= 1) & (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    first = (np.where(ok, year, 1970) - 1970).astype("M8[Y]").astype("M8[M]") + (np.where(ok, month, 1) - 1)
    last_day = ((first + 1).astype("M8[D]") - first.astype("M8[D]")).astype(np.int64)
    ok = ok & (day >= 1) & (day <= last_day)
    days = first.astype("M8[D]").astype(np.int64) + day - 1
    if "j" in parts:
        nth = number("j", 1)
        days = first.astype("M8[D]").astype(np.int64) + nth - 1
        ok = ok & (nth >= 1) & (days.astype("M8[D]").astype("M8[Y]") == first.astype("M8[Y]"))
    us = days * DAY_US + (hour * 3600 + minute * 60 + second) * US + _fraction_us(parts.get("f"), len(texts))
    return Instants(np.where(ok, _to_utc(us, parts.get("z"), timestamp.zone), 0), ok)


def _month_numbers(texts: pa.Array, months: list[str]) -> np.ndarray:
    names = [name.casefold()[:size] for size in (3, 99) for name in months]
    index = pc.index_in(pc.utf8_lower(texts), pa.array(names)).fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(np.where(index < 0, 0, index % 12 + 1), np.int64)


def _fraction_us(texts: pa.Array | None, count: int) -> np.ndarray:
    if texts is None:
        return np.zeros(count, np.int64)
    padded = pc.utf8_rpad(texts, 6, padding="0")
    return np.asarray(pc.cast(padded, pa.int64()).fill_null(0))


def _to_utc(local_us: np.ndarray, offsets: pa.Array | None, zone: str) -> np.ndarray:
    if offsets is None:
        return zoned(local_us, zone)
    coded = offsets.dictionary_encode()
    stated = [_offset_us(text) for text in coded.dictionary.to_pylist()]
    codes = coded.indices.fill_null(len(stated)).to_numpy(zero_copy_only=False)
    shift = np.array([0 if s is None else s for s in stated] + [0], np.int64)[codes]
    unstated = np.array([s is None for s in stated] + [True])[codes]
    return np.where(unstated, zoned(local_us, zone), local_us - shift)


def _offset_us(text: str) -> int | None:
    if not text:
        return None
    if text == "Z":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return (-minutes if text[0] == "-" else minutes) * 60 * US


def _integers(timestamps: pa.Array) -> np.ndarray:
    return np.asarray(timestamps.cast(pa.int64()).fill_null(0))
