"""One chunk of a partner's file -> rows of a canonical table, and the records that were refused."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.mapping.fields import Field, Known, Moment, Occurred
from pipeline.ingest.mapping.mapping import STATUSES, Mapping
from pipeline.ingest.mapping.sources import Source
from pipeline.ingest.reading.chunk import Chunk, Refusal
from pipeline.ingest.rules import calendars, timestamps
from pipeline.ingest.rules.positions import place
from pipeline.ingest.rules.values import Columns, Refusals
from pipeline.params import Years
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
class Mapped:
    """What became of one chunk."""

    rows: pa.Table
    """Of `Source.table`, in the file's order."""
    withdrawals: pa.Table
    """Of `WITHDRAWALS`."""
    refused: list[Refusal]


def map_chunk(chunk: Chunk, source: Source) -> Mapped:
    """Map a chunk's records; the rules of the table decide which are refused.

    A withdrawal needs no more than its key and its time, so the other rules do not apply to it.
    """
    mapping = source.mapping
    refusals = Refusals(chunk)
    columns = Columns(chunk, refusals, mapping.format)
    withdrawn = _withdrawn(columns, mapping)
    if not withdrawn.any():
        return Mapped(_rows(chunk, columns, refusals, source), WITHDRAWALS.empty_table(), refusals.listed())
    reports, others = replace(chunk.only(~withdrawn), refused=chunk.refused), chunk.only(withdrawn)
    kept, closing = Refusals(reports), Refusals(others)
    rows = _rows(reports, Columns(reports, kept, mapping.format), kept, source)
    withdrawals = _withdrawals(others, Columns(others, closing, mapping.format), closing, source)
    return Mapped(rows, withdrawals, sorted(kept.listed() + closing.listed(), key=lambda refusal: refusal.number))


def _rows(chunk: Chunk, columns: Columns, refusals: Refusals, source: Source) -> pa.Table:
    mapping, schema = source.mapping, source.table.schema
    count = len(columns)
    for exclusion in mapping.exclude:
        text = columns.text(exclusion.column)
        out = pc.is_in(text, pa.array(exclusion.values)).to_numpy(zero_copy_only=False)
        problem = f"{{value}} is excluded: {exclusion.because}"
        refusals.refuse(out, column=exclusion.column, rule="excluded", problem=problem, values=text)
    if mapping.status is not None:
        columns.words(mapping.status, target="status", allowed=STATUSES, required=True)
    record_id = _record_ids(chunk, columns, refusals, mapping)
    made: dict[str, pa.Array] = {
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
    made |= _times(columns, refusals, source)
    placed = place(
        columns, refusals, mapping.position, bounds=source.bounds, border=source.border, gazetteers=source.gazetteers
    )
    made |= {"latitude_deg": placed.latitude_deg, "longitude_deg": placed.longitude_deg}
    made["location_precision_m"] = placed.precision_m
    for name, entry in mapping.fields.items():
        made[name] = _column(name, entry, columns, refusals, source, source.table.column(name))
    for column in schema:
        if column.name not in made:
            made[column.name] = _constant("1", count) if column.name == "unit" else pa.nulls(count, column.type)
    taken = refusals.taken
    table = pa.table({name: made[name] for name in schema.names})
    if not taken.all():
        table = table.filter(pa.array(taken))
    return table.cast(schema)


def _column(
    name: str, entry: Field, columns: Columns, refusals: Refusals, source: Source, column: schemas.Column
) -> pa.Array:
    if pa.types.is_string(column.type):
        words = columns.words(entry, target=name, allowed=column.words or None, required=not column.nullable)
        return _unless_unjudged(words, column)
    measured = source.measured.get(name) if source.mapping.table == "detections" else None
    required = measured.required if measured else not column.nullable
    numbers = columns.numbers(entry, target=name, required=required)
    low, high = (measured.low, measured.high) if measured else (column.low, column.high)
    outside = pc.or_(pc.less(numbers, low), pc.greater(numbers, high)).fill_null(False)
    mask = outside.to_numpy(zero_copy_only=False)
    if mask.any():
        problem = f"{name} = {{value}}; expected {low:g} to {high:g}"
        shown = numbers.cast(pa.string())
        refusals.refuse(mask, column=" | ".join(entry.sources), rule="range", problem=problem, values=shown)
    if name == "information_credibility":
        whole = pc.equal(pc.floor(numbers), numbers).fill_null(True)
        problem = "information_credibility = {value}; expected 1 to 6"
        mask = pc.invert(whole).to_numpy(zero_copy_only=False)
        refusals.refuse(
            mask, column=" | ".join(entry.sources), rule="vocabulary", problem=problem, values=numbers.cast(pa.string())
        )
        usable = pc.and_(whole, pc.and_(pc.greater_equal(numbers, 1.0), pc.less(numbers, 6.0)))
        return pc.if_else(usable, numbers, pa.scalar(None, pa.float64())).cast(column.type)
    return numbers.cast(column.type, safe=False)


def _unless_unjudged(words: pa.Array, column: schemas.Column) -> pa.Array:
    if column.unjudged is None:
        return words
    return pc.if_else(pc.equal(words, column.unjudged), pa.scalar(None, pa.string()), words)


def _times(columns: Columns, refusals: Refusals, source: Source) -> dict[str, pa.Array]:
    mapping, years, count = source.mapping, source.years, len(columns)
    made: dict[str, pa.Array] = {}
    happened = mapping.happened
    end = start = np.zeros(count, np.int64)
    known = np.ones(count, bool)
    name = "occurred_at" if mapping.occurred_at else "observed_at"
    if happened is not None:
        instants = _instants(columns, refusals, happened, name, years)
        precision = _precision(columns, happened)
        start, end = timestamps.period(instants.us, precision, happened.zone)
        known = instants.ok
        made[name] = pa.array(start, schemas.UTC)
        if mapping.occurred_at:
            made["occurred_precision"] = pa.array(schemas.OCCURRED_PRECISIONS).take(pa.array(precision))
    available, known = _known_at(columns, refusals, mapping.available_at, end, known, "available_at", years)
    made["available_at"] = pa.array(available, schemas.UTC)
    if mapping.outcome_at is not None:
        outcome, outcome_known = _known_at(
            columns, refusals, mapping.outcome_at, end, known, "outcome_at", years, optional=True
        )
        made["outcome_at"] = pa.array(outcome, schemas.UTC, mask=~outcome_known)
    if happened is not None:
        shown = columns.joined(happened.sources, " ") if happened.sources else pa.array(made[name]).cast(pa.string())
        where = " ".join(happened.sources)
        late = known & (start > available)
        problem = f"{name} = {{value}} is later than the report itself; expected a time before available_at"
        refusals.refuse(late, column=where, rule="future_date", problem=problem, values=shown)
        if mapping.last_day is not None:
            end_of_file = (np.datetime64(mapping.last_day, "D") + 1).astype("M8[us]").astype(np.int64)
            late = known & (start >= timestamps.zoned(np.array([end_of_file]), happened.zone)[0])
            problem = f"{name} = {{value}}; expected at latest {mapping.last_day}, when the file was cut"
            refusals.refuse(late, column=where, rule="future_date", problem=problem, values=shown)
    return made


def _known_at(
    columns: Columns,
    refusals: Refusals,
    known: Known,
    end: np.ndarray,
    dated: np.ndarray,
    name: str,
    years: Years,
    *,
    optional: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    delayed = end + int((known.delay_days or 0.0) * timestamps.DAY_US)
    if known.at is None:
        return delayed, dated
    if known.at.constant is not None:
        instants = _instants(columns, refusals, known.at, name, years)
        return instants.us, instants.ok
    stated = columns.joined(known.at.sources, " ")
    absent = stated.is_null().to_numpy(zero_copy_only=False)
    fallback = absent & (known.delay_days is not None)
    may_lack = fallback | (absent if optional else np.zeros(len(absent), bool))
    instants = _instants(columns, refusals, known.at, name, years, optional=may_lack)
    return np.where(fallback, delayed, instants.us), np.where(fallback, dated, instants.ok)


def _instants(
    columns: Columns,
    refusals: Refusals,
    moment: Moment,
    name: str,
    years: Years,
    *,
    optional: np.ndarray | None = None,
) -> timestamps.Instants:
    count = len(columns)
    if moment.constant is not None:
        us = timestamps.constant_us(moment.constant, moment.zone)
        return timestamps.Instants(np.full(count, us), np.ones(count, bool))
    text = columns.joined(moment.sources, " ")
    instants = timestamps.parse(text, moment)
    where = " ".join(moment.sources)
    missing = text.is_null().to_numpy(zero_copy_only=False)
    if optional is not None:
        missing = missing & ~optional
    refusals.refuse(
        missing, column=where, rule="missing_value", problem=f"{name} is missing; expected a time", values=text
    )
    unreadable = ~instants.ok if optional is None else ~instants.ok & ~optional
    problem = f"{name} = {{value}}; expected a date that is, as {', '.join(moment.formats)}"
    refusals.refuse(unreadable, column=where, rule="date", problem=problem, values=text)
    strange = instants.ok & timestamps.outside(instants.us, years, moment.zone)
    if strange.any():
        problem = f"{name} = {{value}}; expected a year from {years.first} to {years.last}{{hint}}"
        hints = [""] * count
        for index, year in zip(
            np.flatnonzero(strange), timestamps.year_of(instants.us[strange], moment.zone), strict=True
        ):
            hints[index] = calendars.hint(year, years)
        refusals.refuse(strange, column=where, rule="date", problem=problem, values=text, hints=hints)
    return timestamps.Instants(instants.us, instants.ok & ~strange)


def _precision(columns: Columns, happened: Occurred) -> np.ndarray:
    """Return indices into `OCCURRED_PRECISIONS`, int8."""
    words = schemas.OCCURRED_PRECISIONS
    if not isinstance(happened.precision, Field):
        return np.full(len(columns), words.index(happened.precision), np.int8)
    stated = columns.words(happened.precision, target="precision", allowed=words, required=True)
    # a refused row's precision does not matter any more
    return np.asarray(pc.index_in(stated, pa.array(words)).fill_null(0)).astype(np.int8)


def _record_ids(chunk: Chunk, columns: Columns, refusals: Refusals, mapping: Mapping) -> pa.Array:
    if not mapping.key:
        return pc.binary_join_element_wise("row", pa.array(chunk.numbers).cast(pa.string()), " ")
    keys = columns.joined(mapping.key, KEYS_BETWEEN)
    where = KEYS_BETWEEN.join(mapping.key)
    missing = keys.is_null().to_numpy(zero_copy_only=False)
    refusals.refuse(missing, column=where, rule="missing_value", problem="the record's key is missing", values=keys)
    return keys


def _withdrawn(columns: Columns, mapping: Mapping) -> np.ndarray:
    if mapping.status is None:
        return np.zeros(len(columns), bool)
    status = columns.words(mapping.status, target="status", allowed=None, required=False)
    return np.asarray(pc.equal(status, "withdrawal").fill_null(False))


def _withdrawals(chunk: Chunk, columns: Columns, refusals: Refusals, source: Source) -> pa.Table:
    mapping = source.mapping
    record_id = _record_ids(chunk, columns, refusals, mapping)
    assert mapping.available_at.at is not None  # the mapping refuses a status without it
    available = _instants(columns, refusals, mapping.available_at.at, "available_at", source.years)
    table = pa.table(
        {
            "record_id": record_id,
            "available_at": pa.array(available.us, schemas.UTC),
            "raw_row": pa.array(chunk.numbers),
        }
    )
    return table.filter(pa.array(refusals.taken)).cast(WITHDRAWALS)


def _constant(value: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), count)


def _constant_list(values: list[str], count: int) -> pa.Array:
    offsets = np.arange(0, (count + 1) * len(values), len(values), dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values).take(pa.array(np.tile(np.arange(len(values)), count))))
