"""The contract of one model, as it stands in its ONNX file's metadata <-> a frozen dataclass.

`pipeline.export` writes it, and the device reads it. It contains the model's inputs, its origin and its marking.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from threat_scorer.marking import TLP, Marking
from threat_scorer.parsing import strict_json, typed_fields
from threat_scorer.parsing.strict_json import JSONError
from threat_scorer.parsing.typed_fields import FieldError
from threat_scorer.scoring.float32 import LARGEST_FLOAT32

KEY = "threat_scorer_contract"
"""Key of the contract in the ONNX file's ``metadata_props``."""

VERSION = 3


class ContractError(ValueError):
    """A contract that this scorer cannot keep; the message names the field, what was got and expected."""


@dataclass(frozen=True)
class Input:
    """One value that a record must or may have."""

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
        """`low` and `high`, half a float32 step outward: a value that float32 rounds onto a limit is within it.

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
class UncertaintyPolicy:
    """The promises of a model's outputs `interval` and `novelty`, and whether the model abstains by them."""

    interval_level: float
    """Share of groups (soils, lanes) never seen whose probability the interval should contain."""
    false_flags: float
    """Share of alarms of groups held out that were called novel."""
    abstains: bool
    """Whether the model withholds the probability of a record unlike the training."""


@dataclass(frozen=True)
class Contract:
    """All that a device must know of a model besides its graph."""

    model: str
    dataset: str
    simulated: bool
    inputs: tuple[Input, ...]
    """The values of a record."""
    features: tuple[str, ...]
    """Columns of the graph's input, in order: made of the inputs by `threat_scorer.scoring.features`."""
    groups: tuple[str, ...]
    """What each feature is about: the features of one group are one reason."""
    operating_points: dict[str, float]
    """Probability at and above which a policy calls an alarm, by the policy's name."""
    base_rate: float
    """Share of positives in the training rows."""
    takes_prior: bool
    """Whether the log-odds of the record's place may be given, to be fused with the model's own."""
    uncertainty: UncertaintyPolicy | None
    """None where the model gives neither interval nor novelty."""
    horizon_days: int | None
    """Period ahead that the probability is about; None where it is about the record itself."""
    training_data_digest: str
    booster_digest: str
    params_digest: str
    marking: Marking
    version: int = VERSION

    @property
    def abstains(self) -> bool:
        """Whether the model withholds the probability of a record unlike the training."""
        return self.uncertainty is not None and self.uncertainty.abstains

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
        except JSONError as error:
            raise ContractError(f"contract: {error}") from None
        if isinstance(value, dict) and value.get("version") != VERSION:
            # before all else: the fields of another version differ, and their names would mislead
            got = value.get("version")
            raise ContractError(f"contract version: got {got!r}; expected {VERSION}: export the model again")
        try:
            contract = typed_fields.read(cls, value, "contract")
        except FieldError as error:
            raise ContractError(f"{error}") from None
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
        _expect(
            len(self.groups) == len(self.features) and all(self.groups),
            "groups",
            self.groups,
            f"a name for each of the {len(self.features)} features",
        )
        for entry in self.inputs:
            limit = LARGEST_FLOAT32
            ordered = -limit <= entry.low <= entry.high <= limit
            _expect(ordered, f"input {entry.name} low, high", (entry.low, entry.high), "low <= high, both float32")
        for name, point in self.operating_points.items():
            _expect(0 <= point <= 1, f"operating point {name}", point, "0 to 1")
        _expect(0 < self.base_rate < 1, "base_rate", self.base_rate, "between 0 and 1")
        if self.uncertainty:
            for name in ("interval_level", "false_flags"):
                share = getattr(self.uncertainty, name)
                _expect(0 < share < 1, f"uncertainty {name}", share, "between 0 and 1")
        _expect(self.horizon_days is None or self.horizon_days > 0, "horizon_days", self.horizon_days, "over 0")
        _expect(self.marking.tlp in TLP, "marking tlp", self.marking.tlp, f"one of {', '.join(TLP)}")


def _expect(condition: Any, field: str, got: Any, expected: str) -> None:
    if not condition:
        raise ContractError(f"contract {field}: got {got!r}; expected {expected}")
