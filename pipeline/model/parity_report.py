"""How closely an exported model and its booster agree <-> parity/<model>.json, as a strict record."""

from pydantic.dataclasses import dataclass

from pipeline.storage.records import RECORD


@dataclass(frozen=True, config=RECORD, kw_only=True)
class ComparedRows:
    """Rows of one kind, and the largest differences between the exported model and its booster."""

    rows: int
    leaves: int
    """Rows times trees."""
    wrong_leaves: int
    """Of a passed gate: 0."""
    probability_difference: float
    log_odds_difference: float
    """A share of the log-odds where these are over 1, for float32 has seven digits."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class OperatingPoints:
    """Probability from which an alarm is raised, by the name of the point."""

    evaluated: dict[str, float]
    """As `evaluate` set them."""
    exported: dict[str, float]
    """As in the contract: moved by at most 1e-5 where the last bit of a score changed a decision."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class ParityReport:
    """How closely one exported model and its booster agree."""

    variant: str
    """Of the ONNX file: a key of `graph_builder.VARIANTS`."""
    oldest_onnxruntime: str
    """Version that can still run the file."""
    onnx_bytes: int
    """Size of the file."""
    trees: int
    tolerance: float
    """Largest difference of a probability that passes."""
    rows: dict[str, ComparedRows]
    """By kind of rows."""
    operating_points: OperatingPoints
    explanations_difference: float | None = None
    """Of the sum of a row's contributions, as a share of their size; None where the file gives no explanations."""

    @property
    def leaves(self) -> int:
        """Of all rows."""
        return sum(compared.leaves for compared in self.rows.values())
