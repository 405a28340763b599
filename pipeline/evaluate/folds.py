"""Held-out probabilities, fold by fold -> what the model of each fold reached, beside its best baseline."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from pipeline.evaluate.comparison import best_baseline
from pipeline.model.skill_records import SHIPPED, FoldSkill
from pipeline.params.stages import Evaluate
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import Floats, Mask, row_log_loss


def by_fold(
    outcome: Mask,
    probability: Mapping[str, Floats],
    fold: npt.NDArray[np.str_],
    blocks: npt.NDArray[np.generic],
    settings: Evaluate,
    *,
    rounds: Mapping[str, int],
) -> list[FoldSkill]:
    """Return the skill in each fold, in the order of the folds' names.

    Parameters
    ----------
    outcome
        Shape (n,), bool.
    probability
        By model, shape (n,): by models that had not seen the row's fold.
    fold
        Name of each row's fold, shape (n,).
    blocks
        Name of each row's block of the bootstrap, shape (n,).
    settings
        Draws and seed of the bootstrap.
    rounds
        Trees of each fold's model, by the fold's name, where they are known.
    """
    return [
        _of_fold(
            str(name),
            outcome[fold == name],
            {model: values[fold == name] for model, values in probability.items()},
            BlockDraws.of(blocks[fold == name], samples=settings.bootstrap_samples, seed=settings.seed),
            rounds=rounds.get(str(name)),
        )
        for name in np.unique(fold)
    ]


def _of_fold(
    name: str, outcome: Mask, probability: Mapping[str, Floats], draws: BlockDraws, *, rounds: int | None
) -> FoldSkill:
    loss = {model: row_log_loss(outcome, values) for model, values in probability.items()}
    best, ours = best_baseline(loss), probability[SHIPPED]
    # ranks mean something only where both outcomes are present, and an interval only where blocks can be drawn
    both_outcomes = 0 < outcome.sum() < len(outcome)
    return FoldSkill(
        fold=name,
        rows=len(outcome),
        positives=int(outcome.sum()),
        expected_positives=float(ours.sum()),
        log_loss=float(loss[SHIPPED].mean()),
        brier=float(brier_score_loss(outcome, ours, labels=[False, True])),
        roc_auc=float(roc_auc_score(outcome, ours)) if both_outcomes else None,
        pr_auc=float(average_precision_score(outcome, ours)) if both_outcomes else None,
        best_baseline=best,
        best_baseline_log_loss=float(loss[best].mean()),
        log_loss_difference=draws.mean_difference(loss[SHIPPED], loss[best]) if draws.blocks > 1 else None,
        rounds=rounds,
    )
