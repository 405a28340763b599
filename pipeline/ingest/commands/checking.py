"""A mapping and a file -> the rows that ingest would map and reject; nothing is written."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline.ingest.mapping.fields import Field, Format, Timestamp
from pipeline.ingest.reading import readers
from pipeline.ingest.reading.chunk import Chunk, RejectedRow
from pipeline.ingest.reading.workbooks import rows_by_sheet
from pipeline.ingest.rules import timestamps
from pipeline.ingest.rules.rows import map_chunk
from pipeline.ingest.rules.source import Source
from pipeline.ingest.rules.values import ChunkColumns, Rejections

_EXAMPLES = 3
_FIRST_ROWS = 3


@dataclass(frozen=True)
class Checked:
    """The rows that ingest would map and reject, and what is not used."""

    rows_in: int
    mapped: int
    withdrawals: int
    rejected: dict[str, int]
    """Rule -> number of records that it rejects."""
    examples: dict[str, list[str]]
    """Rule -> messages of the first records that it rejects."""
    unused_columns: list[str]
    """Columns of the file that the mapping does not read."""
    unused_sheets: dict[str, int]
    """Sheets of a workbook that the mapping does not read -> their rows that hold something."""
    unused_parts: list[str]
    """Date formats and mapped values of the mapping that no record of the file uses."""
    first_rows: pa.Table
    """The first rows of the table."""


def check(source: Source, path: Path) -> Checked:
    """Map a file and keep the counts, some examples and the first rows.

    Raises
    ------
    SourceError
        The file as a whole cannot be read by this mapping.
    """
    mapping = source.mapping
    rows_in = mapped_rows = withdrawals = 0
    examples: dict[str, list[str]] = defaultdict(list)
    rejected: Counter[str] = Counter()
    first = source.table.schema.empty_table()
    names: dict[str, None] = {}
    unused = _UnusedParts(source)
    for chunk in readers.read(path, mapping.format, mapping.columns, serials=mapping.serials):
        names |= dict.fromkeys(chunk.columns.schema.names)
        unused.look_at(chunk)
        mapped = map_chunk(chunk, source)
        rows_in += chunk.records
        mapped_rows += mapped.rows.num_rows
        withdrawals += mapped.withdrawals.num_rows
        for rejected_row in mapped.rejected:
            rejected[rejected_row.rule] += 1
            if len(examples[rejected_row.rule]) < _EXAMPLES:
                examples[rejected_row.rule].append(_message(path, rejected_row))
        first = pa.concat_tables([first, mapped.rows.slice(0, _FIRST_ROWS - first.num_rows)])
    return Checked(
        rows_in,
        mapped_rows,
        withdrawals,
        dict(rejected.most_common()),
        dict(examples),
        [name for name in names if name not in mapping.columns],
        _unused_sheets(path, mapping.format),
        unused.listed(),
        first,
    )


def as_text(checked: Checked) -> str:
    """Return the result for a person to read."""
    lines = [
        f"rows in {checked.rows_in:,} = would map {checked.mapped:,} + withdrawals {checked.withdrawals:,} "
        f"+ rejected {sum(checked.rejected.values()):,}"
    ]
    for rule, count in checked.rejected.items():
        lines += ["", f"rejected by {rule}: {count:,}", *(f"  {message}" for message in checked.examples[rule])]
    if checked.unused_columns:
        lines += ["", f"columns not used: {', '.join(checked.unused_columns)}"]
    if checked.unused_sheets:
        sheets = (f"{name!r} ({rows:,} rows)" for name, rows in checked.unused_sheets.items())
        lines += ["", f"sheets not read: {', '.join(sheets)}"]
    if checked.unused_parts:
        lines += ["", "in the mapping, but in no row of this file:", *(f"  {part}" for part in checked.unused_parts)]
    if checked.first_rows.num_rows:
        lines += ["", "the first rows as they would become:"]
        width = max(map(len, checked.first_rows.column_names))
        for name in checked.first_rows.column_names:
            values = " | ".join(_shown(value) for value in checked.first_rows[name].to_pylist())
            lines.append(f"  {name:{width}}  {values}")
    return "\n".join(lines)


def _unused_sheets(path: Path, form: Format) -> dict[str, int]:
    if form.kind != "excel" or form.sheet is None:  # without a name, no other sheet may hold rows
        return {}
    return {name: rows for name, rows in rows_by_sheet(path, form).items() if rows and name != form.sheet}


class _UnusedParts:
    """The date formats and mapped values that no record uses so far."""

    def __init__(self, source: Source) -> None:
        mapping = source.mapping
        self._source = source
        outcome = mapping.outcome_at.at if mapping.outcome_at else None
        stated: dict[str, Timestamp | None] = {
            "occurred_at" if mapping.occurred_at else "observed_at": mapping.occurrence,
            "available_at.at": mapping.available_at.at,
            "outcome_at.at": outcome,
        }
        self._timestamps = {
            (name, form): replace(timestamp, formats=[form])
            for name, timestamp in stated.items()
            if timestamp is not None
            for form in timestamp.formats
        }
        self._fields: dict[str, Field] = {
            f"fields.{name}.values": field for name, field in mapping.fields.items() if field.values
        }
        self._values = {name: set(field.values or {}) for name, field in self._fields.items()}

    def look_at(self, chunk: Chunk) -> None:
        columns = ChunkColumns(chunk, Rejections(chunk), self._source.mapping.format)
        for key, timestamp in list(self._timestamps.items()):
            if timestamps.parse(columns.joined(timestamp.sources, " "), timestamp).ok.any():
                del self._timestamps[key]
        for name, field in self._fields.items():
            if self._values[name]:
                self._values[name] -= columns.keys_used(field)

    def listed(self) -> list[str]:
        formats = [f"{name}.formats: {form}" for name, form in self._timestamps]
        return formats + [f"{name}: {value}" for name, values in self._values.items() for value in sorted(values)]


def _message(path: Path, rejected_row: RejectedRow) -> str:
    return f"{path.name} row {rejected_row.number}: {rejected_row.problem}"


def _shown(value: object) -> str:
    return "" if value is None else str(value)
