"""A dataset's evaluations, parity and ingest -> one document for machines, and the table that `make` prints."""

from collections.abc import Mapping
from typing import Any

SHOWN = ("roc_auc", "pr_auc", "log_loss", "brier")


def combine(
    evaluations: Mapping[str, Mapping[str, Any]], parity: Mapping[str, Any], ingested: Mapping[str, Any]
) -> dict[str, Any]:
    """Return under each model's name its comparisons alone, and all else that is known beside them.

    Parameters
    ----------
    evaluations
        By model: what `evaluate` wrote, of the whole theatre or by modality, with the model's ``operating_points``.
    parity
        By model: what `export` wrote.
    ingested
        What `ingest` wrote.
    """
    return {
        **{
            model: {part: found for part, found in parts.items() if part != "operating_points"}
            for model, parts in evaluations.items()
        },
        "operating_points": {model: parts["operating_points"] for model, parts in evaluations.items()},
        "parity": dict(parity),
        "ingest": dict(ingested),
    }


def table(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the models and baselines, a line each, with the metrics of `SHOWN`; the shipped model is `lightgbm`.

    Examples
    --------
    >>> skill = {"roc_auc": 0.9, "pr_auc": 0.1, "log_loss": 0.02, "brier": 0.005}
    >>> print(table({"area_risk_28d": {"theatre": {"models": {"lightgbm": skill}}}}))
    area_risk_28d theatre            roc_auc    pr_auc  log_loss     brier
      lightgbm                        0.9000    0.1000    0.0200    0.0050
    """
    lines = []
    for model, parts in evaluations.items():
        for part, found in parts.items():
            if not isinstance(found, Mapping) or "models" not in found:
                continue
            lines.append(f"{f'{model} {part}':<30}" + "".join(f"{name:>10}" for name in SHOWN))
            for name, skill in found["models"].items():
                numbers = (f"{skill[metric]:>10.4f}" if metric in skill else " " * 10 for metric in SHOWN)
                lines.append(f"  {name:<28}" + "".join(numbers))
    return "\n".join(lines)
