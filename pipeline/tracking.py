"""What the stages left in files -> MLflow, for reviewers: a run for each fitted model, and one for each pipeline run.

MLflow is a log, DVC's files are the truth: nothing reads MLflow to build, and no run id is ever an output. `record` is
therefore one idempotent question, "does MLflow show what the files say?", asked after every stage that a run speaks of
and once more at the end of ``make``: a model restored from DVC's cache, which was not fitted here, gets its run too.
What a run says of itself (its name, its tags, its data) is in `pipeline.run_facts`; only this module imports mlflow.

    python -m pipeline.tracking simulated      record what is not yet recorded
    python -m pipeline.tracking --serve        browse it on http://127.0.0.1:5000
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import cli, params, run_facts, store
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
    if not (paths.model(model) / "model.txt").exists():
        return None
    digest = run_facts.model_digest(paths, model)
    client = connect()
    with _only_our_warnings():
        run = find_model(client, dataset, model, digest) or _log_fit(client, paths, model, digest)
        _log_evidence(client, run, paths, model)
    return str(run.info.run_id)


def record_pipeline(dataset: str) -> str | None:
    """Make MLflow show all models of a dataset, and the pipeline run that they are of as their parent.

    A pipeline run is known by its models: the same files again are the same run. A model that an earlier pipeline run
    fitted stays that run's child; the new parent links to it.

    Returns
    -------
    str or None
        The id of the parent run; None where no model has been fitted.
    """
    runs = {model: run for model in params.load().dataset(dataset).models if (run := record(dataset, model))}
    if not runs:
        return None
    client = connect()
    children = {model: client.get_run(run) for model, run in runs.items()}
    digests = {f"digest.{model}": child.data.tags["model_digest"] for model, child in children.items()}
    with _only_our_warnings():
        parent = _find_run(client, dataset, kind="pipeline", **digests)
        if parent is None:
            tags = {"kind": "pipeline", **digests, **run_facts.origin(dataset)}
            parent = client.create_run(_experiment(client, dataset), tags=tags)
            client.set_terminated(parent.info.run_id)
    parent_id = str(parent.info.run_id)
    names = {model: child.info.run_name for model, child in children.items()}
    client.update_run(parent_id, name=run_facts.pipeline_name(dataset, parent.data.tags, list(children)))
    lines = [f"- [{names[model]}](#/experiments/{parent.info.experiment_id}/runs/{run})" for model, run in runs.items()]
    client.set_tag(parent_id, "mlflow.note.content", "\n".join(["The models of this pipeline run:", "", *lines]))
    for model, child in children.items():
        # while a stage runs, DVC's lock still tells of the time before; now all stages are done
        tags = {"mlflow.parentRunId": parent_id} | child.data.tags | run_facts.stage_digests(dataset, model)
        for key, value in tags.items() - child.data.tags.items():
            client.set_tag(child.info.run_id, key, value)
    return parent_id


def connect() -> "MlflowClient":
    """Return a client of the chosen store; by default the project's own SQLite file, made ready at first use."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # mlflow.onnx imports onnxruntime
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import logging

    import mlflow

    # the migrations of a new database are not news
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    mlflow.set_tracking_uri(_uri())
    return mlflow.MlflowClient()


def find_model(client: "MlflowClient", dataset: str, model: str, digest: str) -> "Run | None":
    """Return the run of a fitted model, by the digest that it is known by; None where there is none."""
    return _find_run(client, dataset, model=model, model_digest=digest)


def _find_run(client: "MlflowClient", dataset: str, **tags: str) -> "Run | None":
    """Return the finished run of a dataset that carries all the tags; None where there is none."""
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        return None
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs = client.search_runs(
        [experiment.experiment_id], filter_string=f"{wanted} and attributes.status = 'FINISHED'", max_results=1
    )
    return runs[0] if runs else None


def _log_fit(client: "MlflowClient", paths: DatasetPaths, model: str, digest: str) -> "Run":
    """Open the model's run: parameters, data with digests, the commit, the booster."""
    import lightgbm
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    fit = store.read_json(paths.model(model) / "fit.json")
    tags = {
        "kind": "model",
        "model": model,
        "model_digest": digest,
        **{f"marking.{key}": str(value) for key, value in fit["marking"].items()},
        **run_facts.origin(paths.dataset),
    }
    name = run_facts.model_name(model, digest, metrics={})
    with mlflow.start_run(experiment_id=_experiment(client, paths.dataset), run_name=name, tags=tags) as run:
        mlflow.log_params(run_facts.flat({"train": fit["params"]}))
        mlflow.log_params({"best_iteration": fit["best_iteration"], "features": len(fit["features"])})
        mlflow.log_metrics({"train.rows": fit["rows"], "train.positives": fit["positives"]})
        _log_inputs(client, run.info.run_id, run_facts.inputs(paths, model, fit))
        booster = lightgbm.Booster(model_file=paths.model(model) / "model.txt")
        example = pd.DataFrame(_medians(paths, model, fit["features"]), columns=fit["features"])
        mlflow.lightgbm.log_model(
            booster,
            name="booster",
            signature=infer_signature(example, booster.predict(example)),
            input_example=example,
            pip_requirements=[f"lightgbm=={version('lightgbm')}"],
        )
        for path in (paths.model(model) / "fit.json", paths.catalogue(model)):
            if path.exists():
                mlflow.log_artifact(str(path), "fit")
        if Path("requirements.lock").exists():
            mlflow.log_artifact("requirements.lock", "environment")
    return client.get_run(run.info.run_id)


def _log_evidence(client: "MlflowClient", run: "Run", paths: DatasetPaths, model: str) -> None:
    """Add what later stages found out of the model, each time that it differs from what the run shows."""
    run_id = run.info.run_id
    for tag, files in run_facts.evidence(paths, model).items():
        if not files or run.data.tags.get(f"{tag}_digest") == (digest := store.digest(*files)):
            continue
        for file in files:
            client.log_artifact(run_id, str(file), tag)
            if file.suffix == ".onnx":
                client.set_tag(run_id, "onnx_model_id", _log_onnx(client, run_id, file, paths, model))
            if file.name == "metrics.json":
                metrics = store.read_json(file)
                for key, value in run_facts.flat(metrics).items():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        client.log_metric(run_id, key, value)
                name = run_facts.model_name(model, run.data.tags["model_digest"], metrics)
                client.update_run(run_id, name=name)
        client.set_tag(run_id, f"{tag}_digest", digest)


def _log_onnx(client: "MlflowClient", run_id: str, file: Path, paths: DatasetPaths, model: str) -> str:
    """Log the file that goes to the field as a model of the run; return the model's id."""
    import mlflow
    import onnx
    import onnxruntime
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    onnxruntime.set_default_logger_severity(3)  # mlflow loads the file once more to try it: its advice is not news
    graph = onnx.load(file)
    features = store.read_json(paths.model(model) / "fit.json")["features"]
    outputs: list[ColSpec | TensorSpec] = [
        TensorSpec(
            np.dtype("float32"), (-1, *(d.dim_value or -1 for d in output.type.tensor_type.shape.dim[1:])), output.name
        )
        for output in graph.graph.output
    ]
    inputs = Schema([TensorSpec(np.dtype("float32"), (-1, len(features)), "features")])
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.onnx.log_model(
            graph,
            name="onnx",
            signature=ModelSignature(inputs, Schema(outputs)),
            input_example={"features": _medians(paths, model, features)},
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
            pip_requirements=[f"onnxruntime=={version('onnxruntime')}"],
        )
    return str(logged.model_id)


def _medians(paths: DatasetPaths, model: str, features: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return (1, features): the median of each feature. An example that is nobody's report."""
    table = store.read_table(paths.features(model), columns=features)
    columns = [table[name].to_numpy() for name in features]
    return np.array([[np.nanmedian(column) for column in columns]], dtype=np.float32)


def _log_inputs(client: "MlflowClient", run_id: str, inputs: list[run_facts.Input]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client.log_inputs(
        run_id,
        [
            DatasetInput(
                # MLflow keeps 36 characters of a digest
                Dataset(
                    entry.name,
                    entry.digest.removeprefix("sha256:")[:36],
                    source_type="local",
                    source=json.dumps({"uri": entry.path.as_posix(), "sha256": entry.digest}),
                    profile=json.dumps(entry.profile, sort_keys=True),
                ),
                [InputTag("mlflow.data.context", entry.context)],
            )
            for entry in inputs
        ],
    )


def _experiment(client: "MlflowClient", dataset: str) -> str:
    experiment = client.get_experiment_by_name(dataset)
    if experiment is not None:
        return str(experiment.experiment_id)
    location = None if os.environ.get("MLFLOW_TRACKING_URI") else (_root() / "mlruns").as_uri()
    return str(client.create_experiment(dataset, artifact_location=location))


def _uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_root() / DATABASE}"


def _root() -> Path:
    """Return the project's root; of an experiment that DVC runs in a copy under .dvc/tmp, the copied project's."""
    here = Path.cwd().resolve()
    return next((folder.parent for folder in here.parents if folder.name == ".dvc"), here)


@contextmanager
def _only_our_warnings() -> Iterator[None]:
    """Keep mlflow's own deprecation warnings, which nobody here can act on, out of a stage's output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def serve() -> None:
    """Show the runs in MLflow's own pages, on this machine only, until interrupted."""
    client = connect()
    client.search_experiments(max_results=1)  # makes or migrates the database before the server asks for it
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", _uri(), "--host", "127.0.0.1"]
    os.execv(command[0], [*command, "--port", str(PORT), "--workers", "1"])


def main() -> None:
    """Record a pipeline run, or serve."""
    arguments = argparse.ArgumentParser(prog="python -m pipeline.tracking", description=record.__doc__)
    arguments.add_argument("dataset", nargs="?", help="record this dataset's models")
    arguments.add_argument("--serve", action="store_true", help=f"browse the runs on http://127.0.0.1:{PORT}")
    given = arguments.parse_args()
    if given.serve:
        serve()
    if given.dataset is None:
        arguments.error("name a dataset, or --serve")
    record_pipeline(given.dataset)


if __name__ == "__main__":
    cli.run(main)
