"""What evaluating one model gives."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Evaluation:
    """Metrics as JSON data, and the points of each plot by the file's name."""

    metrics: dict[str, Any]
    plots: dict[str, pa.Table]
    measured_on: str
    """The rows behind the plots, for their titles."""
