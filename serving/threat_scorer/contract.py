"""The contract of one model, as it stands in its ONNX file's metadata <-> a frozen dataclass.

`pipeline.export` writes it, the device reads it: what the model expects, what it was made from, who may have it.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from threat_scorer import strict_json

KEY = "threat_scorer_contract"
"""Key of the contract in the ONNX file's ``metadata_props``."""

VERSION = 1

TLP = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
"""Traffic Light Protocol 2.0, from the least to the most restrictive."""


LARGEST_FLOAT32 = float.fromhex("0x1.fffffep127")


class ContractError(ValueError):
    """A contract that this scorer cannot keep; the message names the field, what was got and expected."""


@dataclass(frozen=True)
class Input:
    """One value that a record must or may hold."""

    name: str
    unit: str
    low: float
    """Least valid value, in `unit`."""
    high: float
    """Largest valid value, in `unit`."""
    required: bool
    """False where the value may be missing: NaN in the model."""

    @property
    def limits(self) -> tuple[float, float]:
        """`low` and `high` half a float32 step outward: what float32 rounds onto a limit is within it.

        Examples
        --------
        >>> limit = float(np.float32(0.7))  # below 0.7: a model's range is float32, a record's decimals are not
        >>> Input("depth", "m", 0.0, limit, required=True).limits[1] > 0.7 > limit
        True
        """
        low, high = np.float32(self.low), np.float32(self.high)
        below = (float(low) + float(np.nextafter(low, np.float32(-np.inf)))) / 2
        above = (float(high) + float(np.nextafter(high, np.float32(np.inf)))) / 2
        return max(below, -LARGEST_FLOAT32), min(above, LARGEST_FLOAT32)


@dataclass(frozen=True)
class Marking:
    """Who owns the model and who may have it: the most restrictive marking of the data behind it."""

    originator: str
    releasable_to: tuple[str, ...]
    tlp: str
    """One of `TLP`."""


@dataclass(frozen=True)
class Contract:
    """Everything a device must know of a model besides its graph."""

    model: str
    dataset: str
    simulated: bool
    inputs: tuple[Input, ...]
    """What a record holds."""
    features: tuple[str, ...]
    """Columns of the graph's input, in order: made of the inputs by `threat_scorer.features`."""
    operating_points: dict[str, float]
    """Probability at and above which a policy calls an alarm, by the policy's name."""
    base_rate: float
    """Share of positives in the training rows."""
    horizon_days: int | None
    """Period ahead that the probability speaks of; None where it speaks of the record itself."""
    training_data_digest: str
    booster_digest: str
    params_digest: str
    marking: Marking
    version: int = VERSION

    def to_json(self) -> str:
        """Return the contract as JSON, the same bytes for the same contract."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Contract":
        """Read a contract.

        Raises
        ------
        ContractError
            The text is not a contract of this version; the message names the field.
        """
        try:
            value = strict_json.parse(text)
        except strict_json.JSONError as error:
            raise ContractError(f"contract: {error}") from None
        if isinstance(value, dict) and value.get("version") != VERSION:
            # said first: the fields of another version differ, and their names would mislead
            raise ContractError(f"contract version: got {value.get('version')!r}; this scorer reads {VERSION}")
        contract: Contract = _read(cls, value, "contract")
        contract._check()
        return contract

    def _check(self) -> None:
        names = [entry.name for entry in self.inputs]
        _expect(names and len(set(names)) == len(names), "inputs", names, "at least one, each name once")
        _expect(
            self.features and len(set(self.features)) == len(self.features),
            "features",
            self.features,
            "at least one, each name once",
        )
        for entry in self.inputs:
            limit = LARGEST_FLOAT32
            ordered = -limit <= entry.low <= entry.high <= limit
            _expect(ordered, f"input {entry.name} low, high", (entry.low, entry.high), "low <= high, both float32")
        for name, point in self.operating_points.items():
            _expect(0 <= point <= 1, f"operating point {name}", point, "0 to 1")
        _expect(0 < self.base_rate < 1, "base_rate", self.base_rate, "between 0 and 1")
        _expect(self.horizon_days is None or self.horizon_days > 0, "horizon_days", self.horizon_days, "over 0")
        _expect(self.marking.tlp in TLP, "marking tlp", self.marking.tlp, f"one of {', '.join(TLP)}")


def _expect(holds: Any, field: str, got: Any, expected: str) -> None:
    if not holds:
        raise ContractError(f"contract {field}: got {got!r}; expected {expected}")


def _read(kind: Any, value: Any, where: str) -> Any:
    """Read parsed JSON as `kind`, a type that a field above declares; only int to float is converted."""
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, where)
    if get_origin(kind) is UnionType:
        return None if value is None else _read(get_args(kind)[0], value, where)
    if get_origin(kind) is tuple:
        _expect_type(list, value, where)
        return tuple(_read(get_args(kind)[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if get_origin(kind) is dict:
        _expect_type(dict, value, where)
        return {key: _read(get_args(kind)[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if kind is float:
        return _read_float(value, where)
    _expect_type(kind, value, where)
    return value


def _read_fields(kind: Any, value: Any, where: str) -> Any:
    _expect_type(dict, value, where)
    types = get_type_hints(kind)
    unknown, missing = sorted(value.keys() - types), sorted(types.keys() - value)
    if unknown or missing:
        raise ContractError(f"{where}: unknown fields {unknown}, missing fields {missing}; expected {sorted(types)}")
    return kind(**{name: _read(types[name], entry, f"{where}.{name}") for name, entry in value.items()})


def _read_float(value: Any, where: str) -> float:
    if type(value) is int and abs(value) <= 2**53:
        return float(value)
    _expect_type(float, value, where)
    if not math.isfinite(value):
        raise ContractError(f"{where}: got {value}; expected a finite number")
    return float(value)


def _expect_type(kind: type, value: Any, where: str) -> None:
    if type(value) is not kind:  # not isinstance: True is no number here
        words = {list: "a list", dict: "an object", str: "text", bool: "true or false", int: "an integer"}
        raise ContractError(f"{where}: got {_shown(value)}; expected {words.get(kind, 'a number')}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
