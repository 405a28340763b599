"""A dataset's evaluations, parity and ingest -> one document for machines, and the table that `make` prints."""

from collections.abc import Mapping
from typing import Any

from pipeline.model.parity_report import ParityReport
from pipeline.model.skill_records import Metrics
from pipeline.storage import records
from pipeline.storage.ingest_report import IngestReport

SHOWN = ("roc_auc", "pr_auc", "log_loss", "brier")


def combine(
    evaluations: Mapping[str, Metrics], parity: Mapping[str, ParityReport], ingested: IngestReport
) -> dict[str, Any]:
    """Return each model's comparisons under its name, and all other results beside them.

    Parameters
    ----------
    evaluations
        By model: what `evaluate` wrote, of the whole theatre or by modality, with the model's operating points.
    parity
        By model: what `export` wrote.
    ingested
        What `ingest` wrote.
    """
    documents = {model: metrics.to_json() for model, metrics in evaluations.items()}
    return {
        "operating_points": {model: metrics.pop("operating_points") for model, metrics in documents.items()},
        **documents,
        "parity": {model: records.to_json(report) for model, report in parity.items()},
        "ingest": records.to_json(ingested),
    }


def table(evaluations: Mapping[str, Metrics]) -> str:
    """Return the models and baselines, a line each, with the metrics of `SHOWN`; the shipped model is `lightgbm`."""
    lines = []
    for model, metrics in evaluations.items():
        for part, comparison in metrics.comparisons.items():
            lines.append(f"{f'{model} {part}':<30}" + "".join(f"{name:>10}" for name in SHOWN))
            for name, skill in comparison.models.items():
                lines.append(f"  {name:<28}" + "".join(f"{skill.figure(metric):>10.4f}" for metric in SHOWN))
    return "\n".join(lines)
