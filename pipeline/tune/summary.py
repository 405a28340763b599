"""Candidates and their scores -> a table and text, best first, each with its difference to the present values."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline.model.skill_records import Estimate
from pipeline.params.datasets import AreaTask
from pipeline.params.stages import AreaBoosting, Evaluate
from pipeline.tune.search import Score
from pipeline.validation.bootstrap import mean_difference


def table(
    candidates: Sequence[AreaBoosting], scores: Sequence[Score], searched: Sequence[str], settings: Evaluate
) -> pa.Table:
    """Return a row for each try, the lowest log-loss first.

    Parameters
    ----------
    candidates, scores
        Of each try, the present values first.
    searched
        Names of the values that differ.
    settings
        Samples and seed of the bootstrap.

    Returns
    -------
    Table
        ``trial``, 0 being the present values; ``log_loss``, ``pr_auc``; ``difference``, of the log-loss to that of
        trial 0, with ``low`` and ``high``, its 95 % interval over blocks of cutoffs; and the values.
    """
    differences = [_difference(score, scores[0], settings) for score in scores]
    rows = [
        {
            "trial": trial,
            "log_loss": score.log_loss,
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "pr_auc": score.pr_auc,
            **{name: getattr(candidate, name) for name in searched},
        }
        for trial, (candidate, score, difference) in enumerate(zip(candidates, scores, differences, strict=True))
    ]
    return pa.Table.from_pylist(rows).sort_by([("log_loss", "ascending"), ("trial", "ascending")])


def lines(result: pa.Table, searched: Sequence[str], task: AreaTask, *, dataset: str, model: str) -> list[str]:
    """Return the result of a search for people: the tries, what to make of them, and how to go on.

    Parameters
    ----------
    result
        As `table` returns it.
    searched
        Names of the values that differ.
    task
        Of the tuned period.
    dataset, model
        Their names in params.yaml.
    """
    rows = result.to_pylist()
    drawn = [row for row in rows if row["trial"]]
    best = drawn[0]
    text = [
        f"{model} of {dataset}, tuned on {task.test_from} to {task.test_until}: {len(rows)} tries, best first",
        "trial  log-loss  difference to trial 0, 95 %      PR-AUC  " + "  ".join(searched),
    ]
    for row in rows:
        values = "  ".join(f"{row[name]:>{len(name)}g}" for name in searched)
        against = f"{row['difference']:+.6f} [{row['low']:+.6f}, {row['high']:+.6f}]" if row["trial"] else "params.yaml"
        text.append(f"{row['trial']:>5}  {row['log_loss']:.6f}  {against:<33}  {row['pr_auc']:.4f}  {values}")
    if best["high"] < 0:
        verdict = f"Trial {best['trial']} is better than params.yaml on this period, by the whole of its interval."
    elif best["difference"] < 0:
        verdict = (
            f"Trial {best['trial']} leads, but its interval holds 0: nothing says that it is better than params.yaml."
        )
    else:
        verdict = "No try beats params.yaml."
    flags = " ".join(f"-S 'train.{model}.{name}={best[name]}'" for name in searched)
    return [
        *text,
        verdict,
        f"The best of {len(drawn)} flatters: some of its lead is luck, of which the interval does not know.",
        f"To see trial {best['trial']} on the real test, in MLflow beside the others, with this folder left as it is:",
        f"  python -m pipeline.select_dataset {dataset} && dvc exp run --temp {flags}",
    ]


def _difference(score: Score, present: Score, settings: Evaluate) -> Estimate:
    return mean_difference(
        score.by_cutoff, present.by_cutoff, present.blocks, samples=settings.bootstrap_samples, seed=settings.seed
    )
