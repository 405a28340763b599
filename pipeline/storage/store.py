"""Tables and JSON in memory <-> files: fixed schema, sorted rows, the same bytes every time, never in part."""

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

ROW_GROUP = 131_072
"""Rows of a Parquet row group that is written, or read, in a stream."""


def write_table(
    table: pa.Table, path: Path, *, schema: pa.Schema, sort_by: tuple[str, ...], plain: Collection[str] = ()
) -> None:
    """Write a table as Parquet: cast to `schema`, sorted by `sort_by`, no metadata but the schema's own.

    Parameters
    ----------
    table
        With at least the schema's columns, in any order.
    path
        Replaced as a whole when the new file is complete; folders are made.
    schema
        Its metadata come back when the file is read; those of its fields are not written.
    sort_by
        Columns that together identify a row, so that the order does not depend on how the rows came.
    plain
        Columns whose values hardly repeat: written without a dictionary, in less time and smaller.

    Raises
    ------
    ValueError
        A column is missing, or a column that may not be null contains a null.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise ValueError(f"{path}: columns {missing} are missing; got {table.column_names}")
    table = table.select(schema.names)
    for field in schema:
        nulls = table.column(field.name).null_count
        if nulls and not field.nullable:
            raise ValueError(f"{path}: column {field.name} has {nulls} nulls; expected none")
    table = table.cast(schema)
    order = pc.sort_indices(table, [(name, "ascending") for name in sort_by])
    if not np.array_equal(order.to_numpy(), np.arange(table.num_rows)):
        table = table.take(order)
    dictionary = _dictionary(schema, plain)
    with (
        replacing(path) as new,
        pq.ParquetWriter(new, schema, compression="zstd", use_dictionary=dictionary, store_schema=False) as file,
    ):
        file.write_table(table)
        if schema.metadata:
            file.add_key_value_metadata(schema.metadata)


@contextmanager
def writing_table(
    path: Path, *, schema: pa.Schema, plain: tuple[str, ...] = ()
) -> Iterator[Callable[[pa.Table], None]]:
    """Give a function that appends rows to a new Parquet file, for tables that do not fit in memory.

    The rows must come in the order in which they are to stand. The bytes depend on the rows, not on how they were cut.

    Parameters
    ----------
    path
        Replaced as a whole when the block ends well; folders are made.
    plain
        Columns whose values hardly repeat: written without a dictionary, in less time; whole numbers and times as
        differences from one row to the next.
    """
    counted = [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_timestamp(f.type)]
    differences = dict.fromkeys((name for name in counted if name in plain), "DELTA_BINARY_PACKED")
    pending: list[pa.Table] = []
    with (
        replacing(path) as new,
        pq.ParquetWriter(
            new,
            schema,
            compression="zstd",
            use_dictionary=_dictionary(schema, plain),
            column_encoding=differences or None,
            store_schema=False,
        ) as file,
    ):

        def flush(least: int) -> None:
            rows = pa.concat_tables(pending)
            pending.clear()
            while rows.num_rows >= least:
                file.write_table(rows.slice(0, ROW_GROUP), row_group_size=ROW_GROUP)
                rows = rows.slice(ROW_GROUP)
                if not rows.num_rows:
                    return
            pending.append(rows)

        def append(rows: pa.Table) -> None:
            pending.append(rows.select(schema.names).cast(schema))
            if sum(part.num_rows for part in pending) >= ROW_GROUP:
                flush(ROW_GROUP)

        yield append
        if pending:
            flush(1)


def _dictionary(schema: pa.Schema, plain: Collection[str]) -> list[str]:
    """Return the columns that get a dictionary, as Parquet names them."""
    names = [name for name in schema.names if name not in plain]
    return names + [f"{name}.list.element" for name in names if pa.types.is_list(schema.field(name).type)]


def read_batches(path: Path, *, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Read a table piece by piece, in its order."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP, columns=columns):
            yield pa.Table.from_batches([batch])


def count_rows(path: Path) -> int:
    """Return the number of rows of a table from its footer."""
    return int(pq.read_metadata(path).num_rows)


def read_table(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Read a table, or some of its columns in the requested order, from Parquet."""
    # not pq.read_table: it loads the module for sets of files first, which takes longer than a small table
    with pq.ParquetFile(path) as file:
        table = file.read(columns=columns)
    return table if columns is None else table.select(columns)


def write_json(value: Any, path: Path) -> None:
    """Write JSON for people and machines: sorted keys, no NaN, a newline at the end.

    Raises
    ------
    ValueError
        The value contains NaN or an infinity: a number that could not be computed is an error, not an output.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with replacing(path) as new:
        new.write_text(text + "\n", encoding="utf-8")


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file that is made elsewhere, such as a picture."""
    with replacing(path) as new:
        new.write_bytes(content)


def write_csv(table: pa.Table, path: Path) -> None:
    """Write a small table as CSV with a header, for plots; numbers have the fewest digits that keep their value."""
    with replacing(path) as new:
        pa_csv.write_csv(table, new, pa_csv.WriteOptions(quoting_style="needed"))


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def digest(*paths: Path) -> str:
    """Return ``sha256:<hex>`` of the files' bytes, one after the other."""
    state = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                state.update(chunk)
    return f"sha256:{state.hexdigest()}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new path beside `path`; if the block succeeds, it replaces `path` in one step.

    A killed process leaves the old file as it was, and at most a ``.<name>.new`` that the next write replaces.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a new, empty folder beside `path`; if the block succeeds, it replaces `path` in one step.

    A killed process leaves the old folder or the new one, whole. It may leave a ``.<name>.new``, which the next run
    removes.
    """
    new = path.with_name(f".{path.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists() and not _exchange(new, path):
            shutil.rmtree(path)
        if not path.exists():
            new.replace(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _exchange(left: Path, right: Path) -> bool:
    """Let two folders change places in one step; false where the system cannot."""
    exchange = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS
    library = ctypes.CDLL(None)
    names = os.fsencode(left.absolute()), os.fsencode(right.absolute())
    if hasattr(library, "renameat2"):
        no_folder = -100  # AT_FDCWD: the paths are absolute in any case
        return bool(library.renameat2(no_folder, names[0], no_folder, names[1], exchange) == 0)
    if hasattr(library, "renamex_np"):
        return bool(library.renamex_np(*names, exchange) == 0)
    return False
