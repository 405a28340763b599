"""A mapping and a file -> what would become of its records, before anything is written."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline.ingest.mapping.fields import Field, Format, Moment
from pipeline.ingest.mapping.sources import Source
from pipeline.ingest.reading import readers
from pipeline.ingest.reading.chunk import Chunk, Refusal
from pipeline.ingest.reading.workbooks import rows_by_sheet
from pipeline.ingest.rules import timestamps
from pipeline.ingest.rules.rows import map_chunk
from pipeline.ingest.rules.values import Columns, Refusals

_EXAMPLES = 3
_FIRST_ROWS = 3


@dataclass(frozen=True)
class Checked:
    """What would become of a file."""

    rows_in: int
    mapped: int
    withdrawals: int
    refused: dict[str, int]
    """Rule -> records that it refuses."""
    examples: dict[str, list[str]]
    """Rule -> messages of the first records that it refuses."""
    unused_columns: list[str]
    """Columns of the file that the mapping does not read."""
    unused_sheets: dict[str, int]
    """Sheets of a workbook that the mapping does not read -> their rows that hold something."""
    idle: list[str]
    """Parts of the mapping that no record of the file has used: date formats and mapped values."""
    first_rows: pa.Table
    """The first rows as they would become."""


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
    refused: Counter[str] = Counter()
    first = source.table.schema.empty_table()
    names: dict[str, None] = {}
    idle = _Idle(source)
    for chunk in readers.read(path, mapping.format, mapping.columns, serials=mapping.serials):
        names |= dict.fromkeys(chunk.columns.schema.names)
        idle.see(chunk)
        mapped = map_chunk(chunk, source)
        rows_in += chunk.records
        mapped_rows += mapped.rows.num_rows
        withdrawals += mapped.withdrawals.num_rows
        for refusal in mapped.refused:
            refused[refusal.rule] += 1
            if len(examples[refusal.rule]) < _EXAMPLES:
                examples[refusal.rule].append(_message(path, refusal))
        first = pa.concat_tables([first, mapped.rows.slice(0, _FIRST_ROWS - first.num_rows)])
    return Checked(
        rows_in,
        mapped_rows,
        withdrawals,
        dict(refused.most_common()),
        dict(examples),
        [name for name in names if name not in mapping.columns],
        _unused_sheets(path, mapping.format),
        idle.listed(),
        first,
    )


def as_text(checked: Checked) -> str:
    """Return the result for a person to read."""
    lines = [
        f"rows in {checked.rows_in:,} = would map {checked.mapped:,} + withdrawals {checked.withdrawals:,} "
        f"+ refused {sum(checked.refused.values()):,}"
    ]
    for rule, count in checked.refused.items():
        lines += ["", f"refused by {rule}: {count:,}", *(f"  {message}" for message in checked.examples[rule])]
    if checked.unused_columns:
        lines += ["", f"columns not used: {', '.join(checked.unused_columns)}"]
    if checked.unused_sheets:
        sheets = (f"{name!r} ({rows:,} rows)" for name, rows in checked.unused_sheets.items())
        lines += ["", f"sheets not read: {', '.join(sheets)}"]
    if checked.idle:
        lines += ["", "in the mapping, but in no row of this file:", *(f"  {part}" for part in checked.idle)]
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


class _Idle:
    """The date formats and mapped values that no record has used so far."""

    def __init__(self, source: Source) -> None:
        mapping = source.mapping
        self._source = source
        outcome = mapping.outcome_at.at if mapping.outcome_at else None
        stated: dict[str, Moment | None] = {
            "occurred_at" if mapping.occurred_at else "observed_at": mapping.happened,
            "available_at.at": mapping.available_at.at,
            "outcome_at.at": outcome,
        }
        self._moments = {
            (name, form): replace(moment, formats=[form])
            for name, moment in stated.items()
            if moment is not None
            for form in moment.formats
        }
        self._fields: dict[str, Field] = {
            f"fields.{name}.values": entry for name, entry in mapping.fields.items() if entry.values
        }
        self._values = {name: set(entry.values or {}) for name, entry in self._fields.items()}

    def see(self, chunk: Chunk) -> None:
        columns = Columns(chunk, Refusals(chunk), self._source.mapping.format)
        for key, moment in list(self._moments.items()):
            if timestamps.parse(columns.joined(moment.sources, " "), moment).ok.any():
                del self._moments[key]
        for name, entry in self._fields.items():
            if self._values[name]:
                self._values[name] -= columns.keys_used(entry)

    def listed(self) -> list[str]:
        formats = [f"{name}.formats: {form}" for name, form in self._moments]
        return formats + [f"{name}: {value}" for name, values in self._values.items() for value in sorted(values)]


def _message(path: Path, refusal: Refusal) -> str:
    return f"{path.name} row {refusal.number}: {refusal.problem}"


def _shown(value: object) -> str:
    return "" if value is None else str(value)
