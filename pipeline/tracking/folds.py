"""The results of `evaluate` for each fold of a model -> a run below the model's own for each fold.

Nothing is computed here: the figures are those of metrics.json, and the fit's are those of fit.json.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.model import provenance
from pipeline.model.fit_record import AnyFitRecord, AreaFitRecord, read_fit
from pipeline.model.skill_records import FoldSkill, Metrics, read_metrics
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from pipeline.tracking.connection import batched

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

INHERITED = ("dataset", "simulated", "git_commit", "git_changed", "dvc_experiment", "model", "marking.")
"""Tags of the model's run, or what they begin with, that its folds carry too."""
NAMED = 3
"""Groups that a fold's name lists; of more it gives the number."""


@dataclass(frozen=True)
class Fold:
    """The run of one fold."""

    fold: str
    """The day of an origin, or groups joined by ``+``."""
    name: str
    metrics: Mapping[str, float]
    params: Mapping[str, Any]


def log_folds(client: "MlflowClient", run: "Run", paths: DatasetPaths, model: str) -> None:
    """Make the runs below a model's show its folds, one for each; nothing before the model has been evaluated.

    Parameters
    ----------
    client
        Of the store.
    run
        The model's.
    paths, model
        Where the model's files lie.
    """
    files = (paths.model(model) / "fit.json", paths.evaluation(model) / "metrics.json")
    if not all(file.exists() for file in files):
        return
    if run.data.tags.get("folds_digest") == (digest := store.digest(*files)):
        return
    fit, metrics = read_fit(files[0], model), read_metrics(files[1])
    inherited = {key: value for key, value in run.data.tags.items() if key.startswith(INHERITED)}
    del inherited["model_digest"]  # by which the model's own run is found
    shown = {
        child.data.tags["fold"]: child
        for child in client.search_runs(
            [run.info.experiment_id],
            f"tags.kind = 'fold' and tags.`mlflow.parentRunId` = '{run.info.run_id}'",
        )
    }
    for fold in folds(model, fit, metrics):
        tags = {**inherited, "kind": "fold", "fold": fold.fold[:5000], "mlflow.parentRunId": run.info.run_id}
        before = shown.get(fold.fold[:5000])
        child = before or client.create_run(run.info.experiment_id, tags=tags, run_name=fold.name)
        child_id = child.info.run_id
        batched(client, child_id, metrics=fold.metrics, params={} if before else fold.params)
        if before:
            client.update_run(child_id, name=fold.name)
        client.set_terminated(child_id)
    client.set_tag(run.info.run_id, "folds_digest", digest)


def folds(model: str, fit: AnyFitRecord, metrics: Metrics) -> Iterator[Fold]:
    """Yield the run of each fold, in the order of the folds' names.

    Parameters
    ----------
    model
        As in params.yaml.
    fit
        Of area risk, its `origins` record how each origin's model was fitted.
    metrics
        The results of `evaluate`.
    """
    origins = {origin.day: origin for origin in fit.origins} if isinstance(fit, AreaFitRecord) else {}
    for comparison in metrics.comparisons.values():
        for skill in comparison.folds:
            origin = origins.get(skill.fold)
            params: dict[str, Any] = {"held_out": skill.fold, "best_baseline": skill.best_baseline}
            params |= provenance.flat({"fit": dataclasses.asdict(origin)}) if origin else {}
            about = f"origin {skill.fold}" if origin else f"without {_named(skill.fold)}"
            name = f"{model} {about}: log-loss {skill.log_loss:.4f} on {skill.rows:,} rows"
            yield Fold(skill.fold, name, _numbers(skill), params)


def _numbers(skill: FoldSkill) -> dict[str, float]:
    return {key: float(value) for key, value in provenance.numbers(dataclasses.asdict(skill)).items()}


def _named(fold: str) -> str:
    """Return the groups of a fold, in few words.

    Examples
    --------
    >>> _named("a+b"), _named("a+b+c+d+e")
    ('a + b', 'a + b + c and 2 more')
    """
    groups = fold.split("+")
    more = f" and {len(groups) - NAMED} more" if len(groups) > NAMED else ""
    return " + ".join(groups[:NAMED]) + more
