"""One chunk of a partner's file -> rows of a canonical table, withdrawals, and rejected rows."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.mapping.fields import BETWEEN, AvailabilityRule, Field, OccurrenceRule, Timestamp
from pipeline.ingest.mapping.mapping import STATUSES, Mapping
from pipeline.ingest.reading.chunk import Chunk, RejectedRow
from pipeline.ingest.rules import calendars, timestamps
from pipeline.ingest.rules.positions import locate
from pipeline.ingest.rules.source import Source
from pipeline.ingest.rules.values import ChunkColumns, Rejections
from pipeline.params.datasets import Years
from pipeline.storage import schemas

WITHDRAWALS = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("available_at", schemas.UTC, nullable=False),
        pa.field("raw_row", pa.int64(), nullable=False),
    ]
)

KEYS_BETWEEN = "|"


@dataclass(frozen=True)
class MappedChunk:
    """The rows, withdrawals and rejected rows of one chunk."""

    rows: pa.Table
    """Of `Source.table`, in the file's order."""
    withdrawals: pa.Table
    """Of `WITHDRAWALS`."""
    rejected: list[RejectedRow]


def map_chunk(chunk: Chunk, source: Source) -> MappedChunk:
    """Map a chunk's records; the rules of the table decide which ones they reject.

    A withdrawal needs its key and its time only: the other rules do not apply to it.
    """
    mapping = source.mapping
    rejections = Rejections(chunk)
    columns = ChunkColumns(chunk, rejections, mapping.format)
    withdrawn = _withdrawn(columns, mapping)
    if not withdrawn.any():
        return MappedChunk(_rows(chunk, columns, rejections, source), WITHDRAWALS.empty_table(), rejections.rows())
    reports, withdrawn_records = replace(chunk.only(~withdrawn), rejected=chunk.rejected), chunk.only(withdrawn)
    of_reports, of_withdrawn = Rejections(reports), Rejections(withdrawn_records)
    rows = _rows(reports, ChunkColumns(reports, of_reports, mapping.format), of_reports, source)
    withdrawals = _withdrawals(
        withdrawn_records, ChunkColumns(withdrawn_records, of_withdrawn, mapping.format), of_withdrawn, source
    )
    return MappedChunk(rows, withdrawals, sorted(of_reports.rows() + of_withdrawn.rows(), key=lambda row: row.number))


def _rows(chunk: Chunk, columns: ChunkColumns, rejections: Rejections, source: Source) -> pa.Table:
    mapping, schema = source.mapping, source.table.schema
    count = len(columns)
    for exclusion in mapping.exclude:
        text = columns.text(exclusion.column)
        out = pc.is_in(text, pa.array(exclusion.values)).to_numpy(zero_copy_only=False)
        problem = f"{{value}} is excluded: {exclusion.because}"
        rejections.reject(out, column=exclusion.column, rule="excluded", problem=problem, values=text)
    if mapping.status is not None:
        columns.mapped_text(mapping.status, target="status", allowed=STATUSES, required=True)
    record_id = _record_ids(chunk, columns, rejections, mapping)
    arrays: dict[str, pa.Array] = {
        source.table.id_column: pc.binary_join_element_wise(source.name, record_id, ":"),
        "source_id": _constant(source.name, count),
        "record_id": record_id,
        "superseded_at": pa.nulls(count, schemas.UTC),
        "originator": _constant(mapping.marking.originator, count),
        "releasable_to": _constant_list(mapping.marking.releasable_to, count),
        "tlp": _constant(mapping.marking.tlp, count),
        "simulated": pa.repeat(pa.scalar(mapping.simulated), count),
        "raw_file": _constant(mapping.file, count),
        "raw_row": pa.array(chunk.numbers),
    }
    arrays |= _times(columns, rejections, source)
    located = locate(
        columns, rejections, mapping.position, bounds=source.bounds, border=source.border, gazetteers=source.gazetteers
    )
    arrays |= {"latitude_deg": located.latitude_deg, "longitude_deg": located.longitude_deg}
    arrays["location_precision_m"] = located.precision_m
    for name, field in mapping.fields.items():
        arrays[name] = _column(name, field, columns, rejections, source)
    for column in schema:
        if column.name not in arrays:
            arrays[column.name] = _constant("1", count) if column.name == "unit" else pa.nulls(count, column.type)
    accepted = rejections.accepted
    table = pa.table({name: arrays[name] for name in schema.names})
    if not accepted.all():
        table = table.filter(pa.array(accepted))
    return table.cast(schema)


def _column(name: str, field: Field, columns: ChunkColumns, rejections: Rejections, source: Source) -> pa.Array:
    column = source.table.column(name)
    if pa.types.is_string(column.type):
        text = columns.mapped_text(field, target=name, allowed=column.words or None, required=not column.nullable)
        return text if column.unjudged is None else _without_code(text, column.unjudged)
    measured = source.measured.get(name) if source.mapping.table == "detections" else None
    required = measured.required if measured else not column.nullable
    numbers = columns.mapped_numbers(field, target=name, required=required)
    low, high = (measured.low, measured.high) if measured else (column.low, column.high)
    outside = pc.or_(pc.less(numbers, low), pc.greater(numbers, high)).fill_null(False)
    mask = outside.to_numpy(zero_copy_only=False)
    if mask.any():
        problem = f"{name} = {{value}}; expected {low:g} to {high:g}"
        shown = numbers.cast(pa.string())
        rejections.reject(mask, column=BETWEEN.join(field.sources), rule="range", problem=problem, values=shown)
    if name == "information_credibility":
        return _credibility(numbers, field, rejections).cast(column.type)
    return numbers.cast(column.type, safe=False)


def _credibility(numbers: pa.Array, field: Field, rejections: Rejections) -> pa.Array:
    """Return the codes 1 to 5; 6, which cannot be judged, is null."""
    whole = pc.equal(pc.floor(numbers), numbers).fill_null(True)
    problem = "information_credibility = {value}; expected 1 to 6"
    mask, shown = pc.invert(whole).to_numpy(zero_copy_only=False), numbers.cast(pa.string())
    rejections.reject(mask, column=BETWEEN.join(field.sources), rule="vocabulary", problem=problem, values=shown)
    usable = pc.and_(whole, pc.and_(pc.greater_equal(numbers, 1.0), pc.less(numbers, 6.0)))
    return pc.if_else(usable, numbers, pa.scalar(None, pa.float64()))


def _without_code(text: pa.Array, code: str) -> pa.Array:
    return pc.if_else(pc.equal(text, code), pa.scalar(None, pa.string()), text)


def _times(columns: ChunkColumns, rejections: Rejections, source: Source) -> dict[str, pa.Array]:
    mapping, years, count = source.mapping, source.years, len(columns)
    arrays: dict[str, pa.Array] = {}
    occurrence = mapping.occurrence
    end = start = np.zeros(count, np.int64)
    dated = np.ones(count, bool)
    name = "occurred_at" if mapping.occurred_at else "observed_at"
    if occurrence is not None:
        instants = _instants(columns, rejections, occurrence, name, years)
        precision = _precision(columns, occurrence)
        start, end = timestamps.period(instants.us, precision, occurrence.zone)
        dated = instants.ok
        arrays[name] = pa.array(start, schemas.UTC)
        if mapping.occurred_at:
            arrays["occurred_precision"] = pa.array(schemas.OCCURRED_PRECISIONS).take(pa.array(precision))
    ends = timestamps.Instants(end, dated)
    available = _availability(columns, rejections, mapping.available_at, ends, "available_at", years)
    arrays["available_at"] = pa.array(available.us, schemas.UTC)
    if mapping.outcome_at is not None:
        ends = timestamps.Instants(end, available.ok)
        outcome = _availability(columns, rejections, mapping.outcome_at, ends, "outcome_at", years)
        arrays["outcome_at"] = pa.array(outcome.us, schemas.UTC, mask=~outcome.ok)
    if occurrence is not None:
        text = columns.joined(occurrence.sources, " ") if occurrence.sources else arrays[name].cast(pa.string())
        where = " ".join(occurrence.sources)
        late = available.ok & (start > available.us)
        problem = f"{name} = {{value}} is later than the report itself; expected a time before available_at"
        rejections.reject(late, column=where, rule="future_date", problem=problem, values=text)
        if mapping.last_day is not None:
            end_of_file = (np.datetime64(mapping.last_day, "D") + 1).astype("M8[us]").astype(np.int64)
            late = available.ok & (start >= timestamps.zoned(np.array([end_of_file]), occurrence.zone)[0])
            problem = f"{name} = {{value}}; expected at latest {mapping.last_day}, when the file was cut"
            rejections.reject(late, column=where, rule="future_date", problem=problem, values=text)
    return arrays


def _availability(
    columns: ChunkColumns,
    rejections: Rejections,
    rule: AvailabilityRule,
    ends: timestamps.Instants,
    name: str,
    years: Years,
) -> timestamps.Instants:
    """Return the times of one rule; `ends` are the ends of the periods, from which a delay counts."""
    delayed = ends.us + int((rule.delay_days or 0.0) * timestamps.DAY_US)
    if rule.at is None:
        return timestamps.Instants(delayed, ends.ok)
    if rule.at.constant is not None:
        return _instants(columns, rejections, rule.at, name, years)
    absent = columns.joined(rule.at.sources, " ").is_null().to_numpy(zero_copy_only=False)
    fallback = absent & (rule.delay_days is not None)
    # an outcome may be unknown for ever, an availability may not
    optional = absent if name == "outcome_at" else fallback
    instants = _instants(columns, rejections, rule.at, name, years, optional=optional)
    return timestamps.Instants(np.where(fallback, delayed, instants.us), np.where(fallback, ends.ok, instants.ok))


def _instants(
    columns: ChunkColumns,
    rejections: Rejections,
    timestamp: Timestamp,
    name: str,
    years: Years,
    *,
    optional: np.ndarray | None = None,
) -> timestamps.Instants:
    """Return the times of one column of the table; a row may lack one where `optional` is true."""
    count = len(columns)
    if timestamp.constant is not None:
        us = timestamps.constant_us(timestamp.constant, timestamp.zone)
        return timestamps.Instants(np.full(count, us), np.ones(count, bool))
    text = columns.joined(timestamp.sources, " ")
    instants = timestamps.parse(text, timestamp)
    where = " ".join(timestamp.sources)
    missing = text.is_null().to_numpy(zero_copy_only=False)
    if optional is not None:
        missing = missing & ~optional
    problem = f"{name} is missing; expected a time"
    rejections.reject(missing, column=where, rule="missing_value", problem=problem, values=text)
    unreadable = ~instants.ok if optional is None else ~instants.ok & ~optional
    problem = f"{name} = {{value}}; expected a date that is, as {', '.join(timestamp.formats)}"
    rejections.reject(unreadable, column=where, rule="date", problem=problem, values=text)
    outside = instants.ok & timestamps.outside(instants.us, years, timestamp.zone)
    if outside.any():
        problem = f"{name} = {{value}}; expected a year from {years.first} to {years.last}{{hint}}"
        hints = [""] * count
        years_outside = timestamps.year_of(instants.us[outside], timestamp.zone)
        for index, year in zip(np.flatnonzero(outside), years_outside, strict=True):
            hints[index] = calendars.hint(year, years)
        rejections.reject(outside, column=where, rule="date", problem=problem, values=text, hints=hints)
    return timestamps.Instants(instants.us, instants.ok & ~outside)


def _precision(columns: ChunkColumns, occurrence: OccurrenceRule) -> np.ndarray:
    """Return indices into `OCCURRED_PRECISIONS`, int8, shape (n,)."""
    words = schemas.OCCURRED_PRECISIONS
    if not isinstance(occurrence.precision, Field):
        return np.full(len(columns), words.index(occurrence.precision), np.int8)
    text = columns.mapped_text(occurrence.precision, target="precision", allowed=words, required=True)
    # the precision of a rejected row has no effect
    return np.asarray(pc.index_in(text, pa.array(words)).fill_null(0)).astype(np.int8)


def _record_ids(chunk: Chunk, columns: ChunkColumns, rejections: Rejections, mapping: Mapping) -> pa.Array:
    if not mapping.key:
        return pc.binary_join_element_wise("row", pa.array(chunk.numbers).cast(pa.string()), " ")
    keys = columns.joined(mapping.key, KEYS_BETWEEN)
    where = KEYS_BETWEEN.join(mapping.key)
    missing = keys.is_null().to_numpy(zero_copy_only=False)
    rejections.reject(missing, column=where, rule="missing_value", problem="the record's key is missing", values=keys)
    return keys


def _withdrawn(columns: ChunkColumns, mapping: Mapping) -> np.ndarray:
    if mapping.status is None:
        return np.zeros(len(columns), bool)
    status = columns.mapped_text(mapping.status, target="status", allowed=None, required=False)
    return np.asarray(pc.equal(status, "withdrawal").fill_null(False))


def _withdrawals(chunk: Chunk, columns: ChunkColumns, rejections: Rejections, source: Source) -> pa.Table:
    mapping = source.mapping
    record_id = _record_ids(chunk, columns, rejections, mapping)
    assert mapping.available_at.at is not None  # the mapping refuses a status without it
    available = _instants(columns, rejections, mapping.available_at.at, "available_at", source.years)
    table = pa.table(
        {
            "record_id": record_id,
            "available_at": pa.array(available.us, schemas.UTC),
            "raw_row": pa.array(chunk.numbers),
        }
    )
    return table.filter(pa.array(rejections.accepted)).cast(WITHDRAWALS)


def _constant(value: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), count)


def _constant_list(values: list[str], count: int) -> pa.Array:
    offsets = np.arange(0, (count + 1) * len(values), len(values), dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values).take(pa.array(np.tile(np.arange(len(values)), count))))
