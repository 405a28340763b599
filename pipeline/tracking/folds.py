"""What a model said of rows that it had not seen -> a run below its own for each origin or fold of groups.

No fit is made for them: the rows stand in `heldout.parquet`, each with the fold whose model spoke of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from pipeline.model import provenance
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from pipeline.tracking.connection import batched

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

INHERITED = ("dataset", "simulated", "git_commit", "git_changed", "dvc_experiment", "model", "marking.")
"""Tags of the model's run, or what they begin with, that its folds carry too."""
NAMED = 3
"""Groups that a fold's name lists; of more it says how many."""


@dataclass(frozen=True)
class Fold:
    """What the run of one fold says."""

    fold: str
    """As the held-out rows have it: the day of an origin, or groups joined by ``+``."""
    name: str
    metrics: Mapping[str, float]
    params: Mapping[str, Any]


def log_folds(client: "MlflowClient", run: "Run", paths: DatasetPaths, model: str) -> None:
    """Make the runs below a model's show its folds, one for each; nothing before the model has been evaluated."""
    files = (paths.model(model) / "heldout.parquet", paths.evaluation(model) / "metrics.json")
    if not all(file.exists() for file in files):
        return
    if run.data.tags.get("folds_digest") == (digest := store.digest(*files)):
        return
    fit, metrics = store.read_json(paths.model(model) / "fit.json"), store.read_json(files[1])
    inherited = {key: value for key, value in run.data.tags.items() if key.startswith(INHERITED)}
    del inherited["model_digest"]  # by which the model's own run is found
    known = {
        found.data.tags["fold"]: found
        for found in client.search_runs(
            [run.info.experiment_id],
            f"tags.kind = 'fold' and tags.`mlflow.parentRunId` = '{run.info.run_id}'",
        )
    }
    for fold in folds(model, store.read_table(files[0]), fit, metrics):
        tags = {**inherited, "kind": "fold", "fold": fold.fold[:5000], "mlflow.parentRunId": run.info.run_id}
        shown = known.get(fold.fold[:5000])
        child = shown or client.create_run(run.info.experiment_id, tags=tags, run_name=fold.name)
        child_id = child.info.run_id
        batched(client, child_id, metrics=fold.metrics, params={} if shown else fold.params)
        if shown:
            client.update_run(child_id, name=fold.name)
        client.set_terminated(child_id)
    client.set_tag(run.info.run_id, "folds_digest", digest)


def folds(model: str, held_out: pa.Table, fit: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Fold]:
    """Yield what is to be said of each fold, in the order of their names.

    Parameters
    ----------
    held_out
        ``fold``, ``label`` and ``log_odds``; area models have a ``cutoff`` too.
    fit
        Its ``origins``, where it has some, say how each origin's model was fitted.
    metrics
        What `evaluate` wrote: where it compares the rows of an origin with baselines, so does the origin's run.
    """
    origins = {origin["day"]: origin for origin in fit.get("origins", [])}
    comparisons = [found for _, found in provenance.comparisons(metrics)]
    compared = {name: part for found in comparisons for name, part in provenance.subgroups(found)}
    fold = np.asarray(held_out["fold"].to_pylist())
    label, probability = held_out["label"].to_numpy() == 1, expit(held_out["log_odds"].to_numpy())
    for name in np.unique(fold).tolist():
        some = fold == name
        found = skill(label[some], probability[some])
        params: dict[str, Any] = {"held_out": name}
        part = compared.get(f"origin_{name}", {})
        if part:
            found |= provenance.flat({"log_loss_difference": part["log_loss_difference"]})
            params["best_baseline"] = part["best_baseline"]
        if name in origins:
            params |= provenance.flat({"fit": origins[name]})
        about = f"origin {name}" if "cutoff" in held_out.column_names else f"without {_some_of(name)}"
        said = f"{model} {about}: log-loss {found['log_loss']:.4f} on {int(some.sum()):,} rows"
        yield Fold(name, said, found, params)


def skill(outcome: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return what the rows of one fold can tell; ranks only where both outcomes are among them."""
    found = {
        "rows": float(len(outcome)),
        "positives": float(outcome.sum()),
        "expected_positives": float(probability.sum()),
        "log_loss": float(log_loss(outcome, probability, labels=[False, True])),
        "brier": float(brier_score_loss(outcome, probability, labels=[False, True])),
    }
    if 0 < outcome.sum() < len(outcome):
        found["roc_auc"] = float(roc_auc_score(outcome, probability))
        found["pr_auc"] = float(average_precision_score(outcome, probability))
    return found


def _some_of(fold: str) -> str:
    """Return the groups of a fold, in few words.

    Examples
    --------
    >>> _some_of("a+b"), _some_of("a+b+c+d+e")
    ('a + b', 'a + b + c and 2 more')
    """
    groups = fold.split("+")
    more = f" and {len(groups) - NAMED} more" if len(groups) > NAMED else ""
    return " + ".join(groups[:NAMED]) + more
