"""Golden rows, as they stand in an ONNX file's metadata <-> arrays: a device scores them to test itself.

The rows are made, not measured: they carry no partner's row to the field.
"""

import base64
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from threat_scorer.parsing import strict_json

KEY = "threat_scorer_golden"
"""Key of the golden rows in the ONNX file's ``metadata_props``."""


class GoldenError(ValueError):
    """Golden rows that cannot be read."""


@dataclass(frozen=True)
class Golden:
    """Rows, and the numbers that the model gave for them where it was made."""

    features: npt.NDArray[np.float32]
    """(rows, features), NaN where missing."""
    probability: npt.NDArray[np.float32]
    """(rows,)"""
    log_odds: npt.NDArray[np.float32]
    """(rows,)"""
    uncertainty: npt.NDArray[np.float32] | None = None
    """(rows, 3) both ends of the interval, and novelty; None where the model gives none."""

    def to_json(self) -> str:
        """Return the rows as JSON: each array as base64 of its little-endian float32 bytes, row after row."""
        arrays = {"features": self.features, "probability": self.probability, "log_odds": self.log_odds}
        if self.uncertainty is not None:
            arrays["uncertainty"] = self.uncertainty
        encoded = {name: base64.b64encode(a.astype("<f4").tobytes()).decode("ascii") for name, a in arrays.items()}
        return json.dumps({"rows": len(self.features), **encoded}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Golden":
        """Read golden rows.

        Raises
        ------
        GoldenError
            The text is not what `to_json` writes.

        Examples
        --------
        >>> ones = np.ones(1, np.float32)
        >>> Golden.from_json(Golden(ones[:, None], ones, ones).to_json()).features
        array([[1.]], dtype=float32)
        """
        try:
            value = strict_json.parse(text)
            rows = value["rows"]
            features, probability, log_odds = (
                _decoded(value[name]) for name in ("features", "probability", "log_odds")
            )
            uncertainty = _decoded(value["uncertainty"]).reshape(rows, 3) if "uncertainty" in value else None
            if not len(probability) == len(log_odds) == rows:
                raise GoldenError(
                    f"golden rows: got {len(probability)} probabilities, {len(log_odds)} log-odds; expected {rows}"
                )
            return cls(features.reshape(rows, -1), probability, log_odds, uncertainty)
        except (ValueError, KeyError, TypeError) as error:
            raise GoldenError(f"golden rows: not readable ({error})") from None


def _decoded(text: str) -> npt.NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
