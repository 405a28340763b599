"""params.yaml as frozen dataclasses: `whole`, then its sections, `datasets` (what is looked at) and `stages` (how)."""

from pipeline.params.datasets import (
    WORLD,
    Admiralty,
    AreaTask,
    Bounds,
    Dataset,
    Label,
    Linkage,
    Measured,
    ModelName,
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
    "AreaTask",
    "Boosting",
    "Bounds",
    "Dataset",
    "Evaluate",
    "Export",
    "Label",
    "Linkage",
    "Measured",
    "ModelName",
    "Params",
    "Review",
    "SensorBoosting",
    "SensorTask",
    "Simulate",
    "Theatre",
    "load",
    "midnight",
]
