"""Rows whose record occurs more than once -> its versions: repeats merged, older reports and withdrawn ones closed."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

_OF_THE_REPORT = ("available_at", "superseded_at", "raw_file", "raw_row")
"""Columns that tell two reports of the same content apart."""


@dataclass(frozen=True)
class Versions:
    """The rows that stand, in the order in which they came, and how many records went into others."""

    rows: pa.Table
    repeats: int
    """Records that say again what the open version of their record says."""
    corrections: int
    """Versions after the first of their record."""


def resolve(rows: pa.Table, withdrawals: pa.Table) -> Versions:
    """Order the versions of each record by the time of report and close all but the last.

    Parameters
    ----------
    rows
        Of a canonical table and one source.
    withdrawals
        Of `WITHDRAWALS`: a withdrawal closes the version that is open at its time, and nothing where there is none.
    """
    reports = [(*key, index) for index, key in enumerate(_keys(rows))]
    contents = _contents(rows)
    superseded: list[int | None] = [None] * rows.num_rows
    keep = np.ones(rows.num_rows, bool)
    corrections = 0
    record: str | None = None
    standing: int | None = None
    for name, available, _, index in sorted([*reports, *((*key, -1) for key in _keys(withdrawals))]):
        if name != record:
            record, standing, seen = name, None, False
        if index >= 0 and standing is not None and contents[standing] == contents[index]:
            keep[index] = False
            continue
        if standing is not None:
            superseded[standing] = available
        standing = index if index >= 0 else None
        corrections += index >= 0 and seen
        seen = seen or index >= 0
    position = rows.schema.get_field_index("superseded_at")
    field = rows.schema.field(position)
    rows = rows.set_column(position, field, pa.array(superseded, pa.int64()).cast(field.type))
    return Versions(rows.filter(pa.array(keep)), int((~keep).sum()), corrections)


def _keys(table: pa.Table) -> list[tuple[str, int, int]]:
    available = table.column("available_at").cast(pa.int64()).to_pylist()
    return list(zip(table.column("record_id").to_pylist(), available, table.column("raw_row").to_pylist(), strict=True))


def _contents(table: pa.Table) -> list[str]:
    told = [name for name in table.column_names if name not in _OF_THE_REPORT]
    return [repr(list(row.values())) for row in table.select(told).to_pylist()]
