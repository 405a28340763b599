"""A Parquet file -> chunks of text columns, as from a CSV of the same table."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.reading.chunk import Chunk, SourceError
from pipeline.ingest.reading.counting import Counts
from pipeline.ingest.reading.files import check_size
from pipeline.ingest.reading.header import check_header, distinct

ROWS = 65_536
"""Rows in a chunk, at most."""


def read_parquet(path: Path, form: Format, columns: list[str]) -> Generator[Chunk, None, Counts]:
    """Read a Parquet file; times become ISO 8601, numbers their shortest text.

    Parameters
    ----------
    path
        The file.
    form
        Its largest size when unpacked.
    columns
        The columns that the mapping reads.

    Raises
    ------
    SourceError
        The file is not Parquet, is too large, or lacks a column.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path}: not a Parquet file ({' '.join(str(error).split())})") from None
    with file:
        names = file.schema_arrow.names
        check_header(path, names, columns)
        groups = range(file.metadata.num_row_groups)
        check_size(path, form, sum(file.metadata.row_group(i).total_byte_size for i in groups))
        done = 0
        for batch in file.iter_batches(batch_size=ROWS):
            arrays = [_as_text(array) for array in batch.columns]
            numbers = np.arange(done + 1, done + 1 + batch.num_rows, dtype=np.int64)
            done += batch.num_rows
            yield Chunk(pa.RecordBatch.from_arrays(arrays, names=distinct(names)), numbers)
        return Counts(done, file.metadata.num_rows, "rows")


def _as_text(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _as_text(array.dictionary_decode())
    if pa.types.is_timestamp(kind):
        form = "%Y-%m-%dT%H:%M:%S" + ("Z" if kind.tz else "")
        return pc.strftime(array.cast(pa.timestamp("us", tz="UTC" if kind.tz else None)), format=form)
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    return array.cast(pa.string())
