"""A record that one stage writes for others, a strict dataclass <-> its JSON: a wrong key is an error.

For ``@pydantic.dataclasses.dataclass(frozen=True, config=RECORD, kw_only=True)``. Numbers are not read from text, nor
whole numbers from fractions. What is equal to its field's default is not written.
"""

import json
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from pipeline.runtime.errors import StageError
from pipeline.storage import store

T = TypeVar("T")

RECORD = ConfigDict(extra="forbid", strict=True)


def _numbers(value: Any) -> npt.NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError("expected numbers, in lists of one length each")
    return array.astype(np.float64)


FloatArray: TypeAlias = Annotated[
    npt.NDArray[np.float64], PlainValidator(_numbers), PlainSerializer(np.ndarray.tolist, return_type=list[Any])
]
"""An array in a record, in JSON nested lists."""


def to_json(record: Any) -> Any:
    """Return a record as JSON data, for `of_json`."""
    return TypeAdapter(type(record)).dump_python(record, mode="json", exclude_defaults=True)


def of_json(data: Any, kind: type[T], *, where: str, key: str = "") -> T:
    """Return the record of JSON data.

    Parameters
    ----------
    data
        As `to_json` gave them.
    kind
        Of the record.
    where
        The file, which opens each line of a message.
    key
        Under which the data stand in the file, with a dot at its end; empty where they are all of it.

    Raises
    ------
    StageError
        A key is unknown or missing, or a value is of another kind. The message names every fault.
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(data))
    except ValidationError as error:
        faults = [f"{where}: {key}{_message(fault)}" for fault in error.errors(include_url=False)]
        written_by = "expected what this version writes; run the stage that writes it again"
        raise StageError("\n".join([*faults, f"{where}: {written_by}"])) from None


def read(path: Path, kind: type[T]) -> T:
    """Read the record of a file; errors as of `of_json`."""
    return of_json(store.read_json(path), kind, where=str(path))


def write(record: Any, path: Path) -> None:
    """Write a record as a file of its own."""
    store.write_json(to_json(record), path)


def _message(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        return f"{key}: unknown key"
    if fault["type"] in ("missing", "missing_argument"):
        return f"{key}: missing; expected a value"
    got = f"got {fault['input']!r}; " if isinstance(fault["input"], str | int | float | None) else ""
    return f"{key}: {got}{fault['msg'][0].lower()}{fault['msg'][1:]}"
