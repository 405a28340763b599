"""Held-out log-odds of alarms and the prior of their cells -> whether both together predict better than one alone."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from pipeline.evaluate.comparison import differences_to
from pipeline.evaluate.grouped import group_skill
from pipeline.model.skill_records import ORACLE, FusionSkill
from pipeline.params.stages import Evaluate
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import Floats, Mask, row_log_loss
from threat_scorer.scoring.decision import fuse


def evaluate(
    rows: pa.Table,
    truth: pa.Table,
    log_odds: Floats,
    outcome: Mask,
    draws: BlockDraws,
    settings: Evaluate,
    *,
    group_area_m2: float | None = None,
) -> FusionSkill:
    """Return the skill of `fuse` where the prior of each alarm is known for certain.

    The base rate is that of these rows.

    Parameters
    ----------
    rows
        Alarms with ``record_id``.
    truth
        ``record_id``, ``prior`` (the chance of a hazard in the alarm's cell before any measurement) and
        ``log_odds_with_prior``, the oracle's.
    log_odds
        Of the sensor model that had not seen the alarm's group, shape (n,).
    outcome
        Whether each alarm is a hazard, shape (n,).
    draws, settings, group_area_m2
        As of `group_skill`.
    """
    place = pc.index_in(rows["record_id"], value_set=truth["record_id"]).to_numpy()
    prior, best = (truth[name].to_numpy()[place] for name in ("prior", "log_odds_with_prior"))
    base_rate = float(outcome.mean())
    prior_log_odds = np.log(prior / (1 - prior))
    fused = [
        fuse(sensor, cell, base_rate=base_rate).probability
        for sensor, cell in zip(log_odds.tolist(), prior_log_odds.tolist(), strict=True)
    ]
    probability = {"fused": np.array(fused), "sensor": expit(log_odds), "prior": prior, ORACLE: expit(best)}
    loss = {name: row_log_loss(outcome, values) for name, values in probability.items()}
    return FusionSkill(
        models={
            name: group_skill(outcome, values, draws, settings, group_area_m2=group_area_m2)
            for name, values in probability.items()
        },
        log_loss_differences=differences_to(loss, "fused", draws),
    )
