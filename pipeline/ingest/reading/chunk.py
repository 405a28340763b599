"""What every reader gives and every mapping takes: some records of one file as columns of text."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.ingest.reading.invalid_bytes import from_surrogates, to_surrogates
from pipeline.runtime.errors import StageError


class SourceError(StageError):
    """A file, or a mapping on its file, that cannot be used at all; nothing of the source is written."""


@dataclass(frozen=True)
class Refusal:
    """One record that is not taken, and why."""

    number: int
    """1-based record number in the file, header not counted."""
    column: str | None
    rule: str
    problem: str
    """What is wrong and what was expected, without the place."""
    value: str | None
    row: str
    """The whole record as a JSON object."""


@dataclass(frozen=True)
class Chunk:
    """Some records of a file, in its order.

    Attributes
    ----------
    columns
        One array of `string` a column of the file, all of them; null where the record does not have the column.
    numbers
        Record numbers, int64, shape (n,).
    refused
        Records that could not even be split into columns.
    spoilt
        Whether some value may hold a NUL, or bytes that are not text (`undecodable`).
    """

    columns: pa.RecordBatch
    numbers: np.ndarray
    refused: list[Refusal] = field(default_factory=list)
    spoilt: bool = True

    @property
    def records(self) -> int:
        """Records of the file that it stands for."""
        return len(self.numbers) + len(self.refused)

    def only(self, rows: np.ndarray) -> "Chunk":
        """Return some of the records, by a bool mask of shape (n,), without those refused so far."""
        return replace(self, columns=self.columns.filter(pa.array(rows)), numbers=self.numbers[rows], refused=[])


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
