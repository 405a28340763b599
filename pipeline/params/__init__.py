"""params.yaml as frozen dataclasses: `whole`, then its sections, `datasets` (what is looked at) and `stages` (how)."""

from pipeline.params.datasets import (
    WORLD,
    Admiralty,
    AreaRisk,
    AreaTask,
    Bounds,
    Dataset,
    Horizon,
    Label,
    Linkage,
    Measured,
    SensorTask,
    Simulate,
    Theatre,
)
from pipeline.params.stages import AreaBoosting, AreaFeatures, Boosting, Evaluate, Export, Review, SensorBoosting
from pipeline.params.whole import Params, load, midnight

__all__ = [
    "WORLD",
    "Admiralty",
    "AreaBoosting",
    "AreaFeatures",
    "AreaRisk",
    "AreaTask",
    "Boosting",
    "Bounds",
    "Dataset",
    "Evaluate",
    "Export",
    "Horizon",
    "Label",
    "Linkage",
    "Measured",
    "Params",
    "Review",
    "SensorBoosting",
    "SensorTask",
    "Simulate",
    "Theatre",
    "load",
    "midnight",
]
