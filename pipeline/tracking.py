"""What the stages left in files -> MLflow, for reviewers: one run for each fitted model. The only importer of mlflow.

MLflow is a log, DVC's files are the truth: nothing reads MLflow to build, and no run id is ever an output. `record` is
therefore one idempotent question, "does MLflow show what the files say?", asked after every stage that a run speaks of
and once more at the end of ``make``: a model restored from DVC's cache, which was not fitted here, gets its run too.

    python -m pipeline.tracking simulated      record what is not yet recorded
    python -m pipeline.tracking --serve        browse it on http://127.0.0.1:5000
"""

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import cli, params, store
from pipeline.paths import DatasetPaths

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE = "mlflow.db"
PORT = 5000


def record(dataset: str, model: str) -> str | None:
    """Make MLflow show the fit, and what is known of it by now, of one model of one dataset.

    Parameters
    ----------
    dataset, model
        As in params.yaml. The model's files are read from where the stages left them.

    Returns
    -------
    str or None
        The id of the model's run; None where no model has been fitted.
    """
    paths = DatasetPaths(dataset)
    booster = paths.model(model) / "model.txt"
    if not booster.exists():
        return None
    digest = store.digest(booster, paths.model(model) / "fit.json")
    client = _client()
    with _only_our_warnings():
        run = _run_of(client, dataset, model, digest) or _log_fit(client, paths, model, digest)
        _log_evidence(client, run, paths, model)
    return str(run.info.run_id)


def _log_fit(client: "MlflowClient", paths: DatasetPaths, model: str, digest: str) -> "Run":
    """Open the model's run: parameters, data with digests, the commit, the booster."""
    import lightgbm
    import mlflow

    fit = store.read_json(paths.model(model) / "fit.json")
    declared = params.load()
    experiment = _experiment(client, paths.dataset)
    tags = {
        "dataset": paths.dataset,
        "model": model,
        "model_digest": digest,
        "simulated": str(declared.dataset(paths.dataset).simulated).lower(),
        **{f"marking.{key}": str(value) for key, value in fit["marking"].items()},
        **_commit(),
    }
    name = f"{model} {digest.removeprefix('sha256:')[:8]}"
    with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags) as run:
        mlflow.log_params(_flat({"train": fit["params"]}))
        mlflow.log_params({"best_iteration": fit["best_iteration"], "features": len(fit["features"])})
        mlflow.log_metrics({"train.rows": fit["rows"], "train.positives": fit["positives"]})
        rows = paths.features(model)
        mlflow.log_input(_dataset(f"{paths.dataset}/{model}", rows, fit["features_digest"]), context="training")
        mlflow.lightgbm.log_model(
            lightgbm.Booster(model_file=paths.model(model) / "model.txt"),
            name="booster",
            pip_requirements=[f"lightgbm=={version('lightgbm')}"],
        )
        for path in sorted(paths.model(model).glob("*.json")):
            mlflow.log_artifact(str(path), "fit")
    return client.get_run(run.info.run_id)


def _log_evidence(client: "MlflowClient", run: "Run", paths: DatasetPaths, model: str) -> None:
    """Add what later stages found out of the model, each time that it differs from what the run shows."""
    run_id = run.info.run_id
    evaluation = sorted(path for path in paths.evaluation(model).glob("*") if path.is_file())
    for tag, files in {
        "evaluation": evaluation,
        "export": [path for path in (paths.onnx(model), paths.parity(model)) if path.exists()],
        "ingest": [path for path in (paths.ingested,) if path.exists()],
    }.items():
        if not files or run.data.tags.get(f"{tag}_digest") == (digest := store.digest(*files)):
            continue
        for file in files:
            client.log_artifact(run_id, str(file), tag)
            if file.name == "metrics.json":
                for key, value in _flat(store.read_json(file)).items():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        client.log_metric(run_id, key, value)
        client.set_tag(run_id, f"{tag}_digest", digest)


def _run_of(client: "MlflowClient", dataset: str, model: str, digest: str) -> "Run | None":
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        return None
    runs = client.search_runs(
        [experiment.experiment_id],
        filter_string=f"tags.model = '{model}' and tags.model_digest = '{digest}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    return runs[0] if runs else None


def _experiment(client: "MlflowClient", dataset: str) -> str:
    experiment = client.get_experiment_by_name(dataset)
    if experiment is not None:
        return str(experiment.experiment_id)
    location = None if os.environ.get("MLFLOW_TRACKING_URI") else Path("mlruns").resolve().as_uri()
    return str(client.create_experiment(dataset, artifact_location=location))


def _dataset(name: str, path: Path, digest: str) -> Any:
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset

    # MLflow keeps 36 characters of a digest
    return MetaDataset(  # type: ignore[abstract]  # mlflow leaves `profile` abstract in name only
        resolve_dataset_source(path.as_posix()), name, digest.removeprefix("sha256:")[:36]
    )


def _commit() -> dict[str, str]:
    """Return the git commit, and whether code or declarations differ from it; nothing outside a git checkout."""

    def git(*arguments: str) -> str | None:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = git("status", "--porcelain", "--", "pipeline", "serving", "data/sources", "params.yaml", "dvc.yaml")
    return {"git_commit": commit, "git_changed": str(bool(changed)).lower()}


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys joined by dots.

    Examples
    --------
    >>> _flat({"28d": {"models": {"lightgbm": {"brier": 0.1}}}})
    {'28d.models.lightgbm.brier': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            flat |= _flat(entry, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = entry
    return flat


def _client() -> "MlflowClient":
    """Return a client of the chosen store; by default the project's own SQLite file, made ready at first use."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    import logging

    import mlflow

    # the migrations of a new database are not news
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(_uri())
    return mlflow.MlflowClient()


def _uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(DATABASE).resolve()}"


@contextmanager
def _only_our_warnings() -> Iterator[None]:
    """Keep mlflow's own deprecation warnings, which nobody here can act on, out of a stage's output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def serve() -> None:
    """Show the runs in MLflow's own pages, on this machine only, until interrupted."""
    client = _client()
    client.search_experiments(max_results=1)  # makes or migrates the database before the server asks for it
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", _uri(), "--host", "127.0.0.1"]
    os.execv(command[0], [*command, "--port", str(PORT), "--workers", "1"])


def main() -> None:
    """Record every model of a dataset, or serve."""
    arguments = argparse.ArgumentParser(prog="python -m pipeline.tracking", description=record.__doc__)
    arguments.add_argument("dataset", nargs="?", help="record this dataset's models")
    arguments.add_argument("--serve", action="store_true", help=f"browse the runs on http://127.0.0.1:{PORT}")
    given = arguments.parse_args()
    if given.serve:
        serve()
    if given.dataset is None:
        arguments.error("name a dataset, or --serve")
    for model in params.load().dataset(given.dataset).models:
        record(given.dataset, model)


if __name__ == "__main__":
    cli.run(main)
