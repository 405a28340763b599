"""Held-out predictions of challenger and champion -> by how much the one is better, on the rows that both have."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.cli import StageError
from pipeline.evaluate.bootstrap import mean_difference
from pipeline.params import Evaluate
from pipeline.review.evidence import Evidence
from pipeline.review.gate import Rival

KEYS = {"area_risk": ["cutoff", "cell"], "sensor_threat": ["detection_id"]}
BLOCKS = {"area_risk": "cutoff", "sensor_threat": "group_id"}
"""By model: the column whose rows hang together, drawn as a whole by the bootstrap."""


def rival(challenger: Evidence, champion: Evidence, settings: Evaluate) -> Rival:
    """Compare the two, row by row.

    The outcome is the one that the challenger was held against: a later correction counts for both.

    Raises
    ------
    StageError
        No row is held out by both.
    """
    keys = KEYS[challenger.model]
    ours, theirs = (evidence.held_out.to_pandas() for evidence in (challenger, champion))
    shared = ours.merge(theirs[[*keys, "log_odds"]], on=keys, suffixes=("_ours", "_theirs"))
    if shared.empty:
        raise StageError(
            f"{challenger.model}: the challenger {challenger.digest[7:15]} and the champion {champion.digest[7:15]} "
            f"hold out no row in common; expected the same {' and '.join(keys)} in both"
        )
    difference = mean_difference(
        _log_loss(shared["label"], shared["log_odds_ours"]),
        _log_loss(shared["label"], shared["log_odds_theirs"]),
        shared[BLOCKS[challenger.model]].to_numpy(),
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )
    return Rival(champion, len(shared), low=difference.low, value=difference.value, high=difference.high)


def _log_loss(label: "pd.Series[int]", log_odds: "pd.Series[float]") -> npt.NDArray[np.float64]:
    """Return each row's logarithmic loss in nats: log(1 + exp(-log-odds)) where it happened."""
    return np.asarray(np.logaddexp(0.0, np.where(label.to_numpy() == 1, -1.0, 1.0) * log_odds.to_numpy()))
