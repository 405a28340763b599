"""Some records of one file as columns of text: the result of every reader and the input of every mapping."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.ingest.reading.invalid_bytes import from_surrogates, to_surrogates
from pipeline.runtime.errors import StageError


class SourceError(StageError):
    """Ingest cannot use a file, or a mapping on its file, at all: it writes nothing of the source."""


@dataclass(frozen=True)
class RejectedRow:
    """One record that ingest does not accept, and the reason."""

    number: int
    """1-based record number in the file, header not counted."""
    column: str | None
    rule: str
    problem: str
    """The value got and the value expected, without file and row."""
    value: str | None
    """The rejected value, shortened; None if there is no value."""
    row: str
    """The whole record as a JSON object."""


@dataclass(frozen=True)
class Chunk:
    """A part of a file's records, in its order.

    Attributes
    ----------
    columns
        One array of `string` for each column of the file; null where the record does not have the column.
    numbers
        Record numbers, int64, shape (n,).
    rejected
        Records that could not even be split into columns.
    suspect
        Whether some value may hold a NUL byte or `invalid_bytes`.
    """

    columns: pa.RecordBatch
    numbers: np.ndarray
    rejected: list[RejectedRow] = field(default_factory=list)
    suspect: bool = True

    @property
    def records(self) -> int:
        """Number of records, rejected ones included."""
        return len(self.numbers) + len(self.rejected)

    def only(self, rows: np.ndarray) -> "Chunk":
        """Return the records of a bool mask, shape (n,), without the rejected ones."""
        return replace(self, columns=self.columns.filter(pa.array(rows)), numbers=self.numbers[rows], rejected=[])


def row_json(record: dict[str, Any]) -> str:
    r"""Return a record of text as JSON; bytes that are not text stand in it as lone surrogates.

    Examples
    --------
    >>> row_json({"a": "café", "b": None})
    '{"a": "café", "b": null}'
    >>> row_json({"a": "caf\U0010ffe9"})
    '{"a": "caf\\udce9"}'
    """
    text = json.dumps(record, ensure_ascii=False)
    plain = to_surrogates(text)
    return text if plain == text else json.dumps(json.loads(plain))


def from_row_json(text: str) -> dict[str, str | None]:
    """Return the record that `row_json` wrote, byte for byte."""
    record = json.loads(text)
    return {key: None if value is None else from_surrogates(value) for key, value in record.items()}
