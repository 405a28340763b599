"""Scores places and sensor alarms on a small computer, from a bundle of ONNX models; nothing here knows the pipeline.

Read `scorer` first: what a caller uses. It stands on `bundle` (folder -> files and identity), `model` (one ONNX
file -> numbers), `contract` (what a model expects), `features` (inputs -> matrix, shared with training) and `reasons`
(what moved a score, in words).
What comes to the field is a signed file. `slots` installs and loads it, on `signed` (may it be loaded?), `trust` and
`dsse` (who signed?), `manifest` (on which terms?), `archive` (its form) and `durable` (files that survive a power cut).
The command ``threat-scorer`` is `cli`, on `stream` (lines in, lines out) and `records` (one line -> inputs); its
process that stays, between sensors and those who listen, is the package `run`.
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
