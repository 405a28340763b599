"""Rows of records that repeat -> their versions: repeats merged, older and withdrawn versions closed."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

_OF_THE_REPORT = ("available_at", "superseded_at", "raw_file", "raw_row")
"""Columns that differ between two reports of the same content."""


@dataclass(frozen=True)
class Versions:
    """The rows of all versions, in the order of the input, and the counts."""

    rows: pa.Table
    repeats: int
    """Rows that repeat the open version of their record, and are left out."""
    corrections: int
    """Rows that are a version after the first of their record."""


def resolve(rows: pa.Table, withdrawals: pa.Table) -> Versions:
    """Order the versions of each record by the time of report and close all but the last.

    Parameters
    ----------
    rows
        Of a canonical table and one source.
    withdrawals
        Of `WITHDRAWALS`: a withdrawal closes the version that is open at its time, if any.
    """
    reports = [(*key, index) for index, key in enumerate(_keys(rows))]
    contents = _contents(rows)
    superseded: list[int | None] = [None] * rows.num_rows
    keep = np.ones(rows.num_rows, bool)
    corrections = 0
    record: str | None = None
    open_version: int | None = None
    for name, available, _, index in sorted([*reports, *((*key, -1) for key in _keys(withdrawals))]):
        if name != record:
            record, open_version, has_version = name, None, False
        if index >= 0 and open_version is not None and contents[open_version] == contents[index]:
            keep[index] = False
            continue
        if open_version is not None:
            superseded[open_version] = available
        open_version = index if index >= 0 else None
        corrections += index >= 0 and has_version
        has_version = has_version or index >= 0
    position = rows.schema.get_field_index("superseded_at")
    field = rows.schema.field(position)
    rows = rows.set_column(position, field, pa.array(superseded, pa.int64()).cast(field.type))
    return Versions(rows.filter(pa.array(keep)), int((~keep).sum()), corrections)


def _keys(table: pa.Table) -> list[tuple[str, int, int]]:
    available = table.column("available_at").cast(pa.int64()).to_pylist()
    return list(zip(table.column("record_id").to_pylist(), available, table.column("raw_row").to_pylist(), strict=True))


def _contents(table: pa.Table) -> list[str]:
    names = [name for name in table.column_names if name not in _OF_THE_REPORT]
    return [repr(list(row.values())) for row in table.select(names).to_pylist()]
