"""Held-out log-odds of alarms and the prior of their cells -> whether both together say more than either alone."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from pipeline.evaluate.grouped import group_skill
from pipeline.params import Evaluate
from pipeline.validation.bootstrap import mean_difference
from pipeline.validation.metrics import Floats, Mask, row_log_loss
from threat_scorer.scoring.decision import fuse


def evaluate(
    rows: pa.Table,
    truth: pa.Table,
    log_odds: Floats,
    outcome: Mask,
    group: npt.NDArray[Any],
    settings: Evaluate,
    *,
    group_area_m2: float | None = None,
) -> dict[str, Any]:
    """Return the skill of `threat_scorer.scoring.decision.fuse` where the prior of each alarm is known for certain.

    Parameters
    ----------
    rows
        Alarms with ``record_id``.
    truth
        ``record_id``, ``prior`` (the chance of a hazard in the alarm's cell before anything was measured) and
        ``log_odds_with_prior``, the oracle's.
    log_odds
        Of the sensor model that had not seen the alarm's group, shape (n,).
    group_area_m2
        See `group_skill`.

    Returns
    -------
    dict
        ``models``: skill and intervals of ``fused``, ``sensor``, ``prior`` and ``oracle``; ``log_loss_differences``:
        fused less each (negative is better). The base rate is that of these rows.
    """
    place = pc.index_in(rows["record_id"], value_set=truth["record_id"]).to_numpy()
    prior, best = (truth[name].to_numpy()[place] for name in ("prior", "log_odds_with_prior"))
    base_rate = float(outcome.mean())
    prior_log_odds = np.log(prior / (1 - prior))
    fused = [
        fuse(sensor, cell, base_rate=base_rate).probability
        for sensor, cell in zip(log_odds.tolist(), prior_log_odds.tolist(), strict=True)
    ]
    probability = {"fused": np.array(fused), "sensor": expit(log_odds), "prior": prior, "oracle": expit(best)}
    loss = {name: row_log_loss(outcome, values) for name, values in probability.items()}
    return {
        "models": {
            name: group_skill(outcome, values, group, settings, group_area_m2=group_area_m2)
            for name, values in probability.items()
        },
        "log_loss_differences": {
            name: dataclasses.asdict(
                mean_difference(loss["fused"], theirs, group, samples=settings.bootstrap_samples, seed=settings.seed)
            )
            for name, theirs in loss.items()
            if name != "fused"
        },
    }
