"""Scores places and sensor alarms on a small computer, from a bundle of ONNX models; nothing here knows the pipeline.

- `scoring`: a model and a record -> a score. Read `scorer` first, then `model` and `decision`. `features` serves
  training too.
- `bundle`: the files of a bundle. `signed` decides whether a device may load one.
- `device`: the state folder of a device. `slots` installs, loads and rolls back.
- `run`: the process that scores records without end, and delivers the scores.
- `parsing`: JSON and TOML from outside -> typed values. `errors`, `marking` and `cli` stand alone.
"""

import os
from typing import TYPE_CHECKING, Any

# onnxruntime reads this once, when it is first imported: before that it must be off
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from threat_scorer.scoring.scorer import Score, Scorer, Scores

__all__ = ["Score", "Scorer", "Scores"]


def __getattr__(name: str) -> Any:
    # on demand: training imports `threat_scorer.scoring.features` and has no use for onnxruntime
    if name in __all__:
        from threat_scorer.scoring import scorer

        return getattr(scorer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
