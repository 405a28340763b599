"""Held-out predictions of challenger and champion -> the difference in log-loss, on the rows that both have."""

from typing import Any

import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from pipeline.params import Evaluate
from pipeline.review.evidence import Evidence
from pipeline.review.gate import Rival
from pipeline.runtime.errors import StageError
from pipeline.storage.schemas import ROW_KEYS
from pipeline.validation import origins
from pipeline.validation.bootstrap import mean_difference
from pipeline.validation.metrics import row_log_loss
from threat_scorer.scoring.kinds import kind_of


def rival(challenger: Evidence, champion: Evidence, settings: Evaluate) -> Rival:
    """Compare the two, row by row.

    The outcome is the challenger's: a later correction counts for both.

    Parameters
    ----------
    challenger, champion
        Of one kind of model, with held-out rows in common.
    settings
        Number of bootstrap samples and their seed.

    Raises
    ------
    StageError
        No row is held out by both.
    """
    keys = [*ROW_KEYS[kind_of(challenger.model)]]
    ours, theirs = (evidence.held_out.to_pandas() for evidence in (challenger, champion))
    shared = ours.merge(theirs[[*keys, "log_odds"]], on=keys, suffixes=("_ours", "_theirs"))
    if shared.empty:
        raise StageError(
            f"{challenger.model}: the challenger {challenger.digest[7:15]} and the champion {champion.digest[7:15]} "
            f"hold out no row in common; expected the same {' and '.join(keys)} in both"
        )
    outcome = shared["label"].to_numpy() == 1
    difference = mean_difference(
        row_log_loss(outcome, expit(shared["log_odds_ours"].to_numpy())),
        row_log_loss(outcome, expit(shared["log_odds_theirs"].to_numpy())),
        _blocks(challenger, shared),
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )
    return Rival(champion, len(shared), low=difference.low, value=difference.value, high=difference.high)


def _blocks(challenger: Evidence, shared: pd.DataFrame) -> npt.NDArray[Any]:
    """Return (rows,) the block that the bootstrap draws as a whole: a horizon's cutoffs, or a group's alarms."""
    if (horizon := challenger.fit.horizon_days) is None:
        return shared["group_id"].to_numpy()
    return origins.blocks(shared["cutoff"].to_numpy("datetime64[us]"), horizon_days=horizon)
