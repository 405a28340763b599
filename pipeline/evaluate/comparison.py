"""Probabilities of several models on the same rows -> a table of skill and what the shipped model is better by."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from pipeline.params import Evaluate
from pipeline.validation.bootstrap import mean_difference
from pipeline.validation.metrics import Floats, Mask, row_log_loss

SHIPPED, ORACLE, BASE_RATE = "lightgbm", "oracle", "base_rate"


def compare(
    outcome: Mask,
    probability: Mapping[str, Floats],
    skill: Mapping[str, dict[str, Any]],
    blocks: npt.NDArray[Any],
    settings: Evaluate,
) -> dict[str, Any]:
    """Return the comparison as JSON data.

    Parameters
    ----------
    outcome
        Shape (n,).
    probability, skill
        By model: probabilities, shape (n,), and metrics, ``log_loss`` among them. `SHIPPED` and `BASE_RATE` are there;
        `ORACLE` is where the truth is known, and is no baseline.
    blocks
        Of the bootstrap, shape (n,).

    Returns
    -------
    dict
        ``rows``, ``positives``, ``models``, ``best_baseline`` (the lowest log-loss), ``log_loss_difference`` to it and
        ``log_loss_differences`` to each other model (ours less theirs: negative is better); where there is an oracle,
        ``oracle_share``: the part of its gain in log-loss over the base rate that the shipped model reaches.
    """
    loss = {name: row_log_loss(outcome, values) for name, values in probability.items()}
    differences = {
        name: dataclasses.asdict(
            mean_difference(loss[SHIPPED], theirs, blocks, samples=settings.bootstrap_samples, seed=settings.seed)
        )
        for name, theirs in loss.items()
        if name != SHIPPED
    }
    baselines = [name for name in probability if name not in (SHIPPED, ORACLE)]
    best = min(baselines, key=lambda name: (loss[name].mean(), name))
    found: dict[str, Any] = {
        "rows": len(outcome),
        "positives": int(outcome.sum()),
        "models": {name: skill[name] for name in probability},
        "best_baseline": best,
        "log_loss_difference": differences[best],
        "log_loss_differences": differences,
    }
    if ORACLE in loss:
        gain = {name: float(loss[BASE_RATE].mean() - loss[name].mean()) for name in (SHIPPED, ORACLE)}
        found["oracle_share"] = gain[SHIPPED] / gain[ORACLE]
    return found
