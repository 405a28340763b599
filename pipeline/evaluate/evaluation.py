"""What evaluating one model gives."""

from dataclasses import dataclass

import pyarrow as pa

from pipeline.model.skill_records import Metrics


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and the points of each plot by the file's name."""

    metrics: Metrics
    plots: dict[str, pa.Table]
    measured_on: str
    """The rows behind the plots, for their titles."""
