"""Probabilities of several models on the same rows -> their skill, and by how much the shipped model is better."""

from collections.abc import Mapping

from pipeline.model.skill_records import BASE_RATE, ORACLE, SHIPPED, Estimate, Skill, SubgroupSkill
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import Floats, Mask, row_log_loss


def compare(
    outcome: Mask, probability: Mapping[str, Floats], skill: Mapping[str, Skill], draws: BlockDraws
) -> SubgroupSkill:
    """Return the comparison of several models on the same rows.

    Parameters
    ----------
    outcome
        Shape (n,), bool.
    probability
        By model, shape (n,). `SHIPPED` and `BASE_RATE` are always present, `ORACLE` where the truth is known; it is
        no baseline.
    skill
        By model: its metrics on these rows.
    draws
        Of the rows' blocks.
    """
    loss = {name: row_log_loss(outcome, values) for name, values in probability.items()}
    differences = differences_to(loss, SHIPPED, draws)
    best = best_baseline(loss)
    oracle_share = None
    if ORACLE in loss:
        gain = {name: float(loss[BASE_RATE].mean() - loss[name].mean()) for name in (SHIPPED, ORACLE)}
        oracle_share = gain[SHIPPED] / gain[ORACLE]
    return SubgroupSkill(
        rows=len(outcome),
        positives=int(outcome.sum()),
        models={name: skill[name] for name in probability},
        best_baseline=best,
        log_loss_difference=differences[best],
        log_loss_differences=differences,
        oracle_share=oracle_share,
    )


def differences_to(loss: Mapping[str, Floats], model: str, draws: BlockDraws) -> dict[str, Estimate]:
    """Return the mean loss of one model less that of each other, with intervals: negative is better.

    Parameters
    ----------
    loss
        By model, of the same rows, shape (n,).
    model
        The one that is compared with the others.
    draws
        Of the rows' blocks.
    """
    return {name: draws.mean_difference(loss[model], right) for name, right in loss.items() if name != model}


def best_baseline(loss: Mapping[str, Floats]) -> str:
    """Return the baseline with the lowest mean loss; of equal ones the first by name."""
    baselines = [name for name in loss if name not in (SHIPPED, ORACLE)]
    return min(baselines, key=lambda name: (loss[name].mean(), name))
