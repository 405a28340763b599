"""A dataset -> its canonical tables; nothing but this module reads data/tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.runtime.errors import StageError
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths


def table_files(dataset: str) -> dict[str, Path]:
    """Return the files of the tables that ingest has written, by table, in the order of their names."""
    return {file.stem: file for file in sorted(DatasetPaths(dataset).tables.glob("*.parquet"))}


def open_tables(dataset: str, names: Iterable[str], *, columns: Sequence[str] | None = None) -> dict[str, pa.Table]:
    """Read tables of a dataset, all versions of their rows.

    Parameters
    ----------
    dataset
        As params.yaml names it.
    names
        Of the tables, such as ``incidents``.
    columns
        Those to be read of each table; None for all.

    Returns
    -------
    dict of str to Table
        In the order of `names`.

    Raises
    ------
    StageError
        A table is missing.
    """
    files, folder = table_files(dataset), DatasetPaths(dataset).tables
    tables = {}
    for name in names:
        if name not in files:
            raise StageError(
                f"{folder / name}.parquet: no such file; run `make DATASET={dataset}`, or "
                f"`python -m pipeline.ingest --dataset {dataset}`, first"
            )
        tables[name] = store.read_table(files[name], columns=None if columns is None else [*columns])
    return tables
