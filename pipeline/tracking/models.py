"""One fitted model's files -> its MLflow run: the fit, and the results of later stages."""

import dataclasses
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import params
from pipeline.model import provenance
from pipeline.model.fit_record import read_fit
from pipeline.model.skill_records import read_metrics
from pipeline.runtime.resource_use import Effort
from pipeline.storage import records, store
from pipeline.storage.paths import DatasetPaths
from pipeline.tracking.connection import batched, experiment_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def log_fit(client: "MlflowClient", paths: DatasetPaths, model: str, digest: str) -> "Run":
    """Open the model's run: parameters, data with digests, the commit, the booster.

    Parameters
    ----------
    client
        Of the store.
    paths, model
        Where the model's files lie.
    digest
        Of the model, by which its run is found.
    """
    import lightgbm
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    fit = read_fit(paths.model(model) / "fit.json", model)
    tags = {
        "kind": "model",
        "model": model,
        "model_digest": digest,
        **{f"marking.{key}": str(value) for key, value in records.to_json(fit.marking).items()},
        **provenance.origin(paths.dataset, simulated=params.load().dataset(paths.dataset).simulated),
    }
    name = provenance.model_name(model, digest)
    with mlflow.start_run(experiment_id=experiment_of(client, paths.dataset), run_name=name, tags=tags) as run:
        mlflow.log_params(provenance.flat({"train": dataclasses.asdict(fit.params)}))
        mlflow.log_params({"best_iteration": fit.best_iteration, "features": len(fit.features)})
        mlflow.log_metrics({"train.rows": fit.rows, "train.positives": fit.positives})
        _log_inputs(client, run.info.run_id, provenance.inputs(paths, model, fit))
        booster = lightgbm.Booster(model_file=paths.model(model) / "model.txt")
        example = pd.DataFrame(_medians(paths, model, fit.features), columns=fit.features)
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


def log_effort(client: "MlflowClient", run: "Run", effort: Effort) -> "Run":
    """Log the time and energy of the fit; the card, which states them, is logged again.

    Parameters
    ----------
    client, run
        Of the store, and the model's run.
    effort
        Time, energy and machine of the fit.

    Returns
    -------
    The run with the new figures.
    """
    run_id = run.info.run_id
    took = {"train.wall_seconds": effort.wall_s, "train.cpu_seconds": effort.cpu_s}
    took |= {} if effort.joules is None else {"train.joules": effort.joules}
    batched(client, run_id, metrics=took, params={})
    client.set_tag(run_id, "train.machine", effort.machine)
    if "card_digest" in run.data.tags:
        client.delete_tag(run_id, "card_digest")
    return client.get_run(run_id)


def log_evidence(client: "MlflowClient", run: "Run", paths: DatasetPaths, model: str) -> None:
    """Add the results of later stages, each time that they differ from those in the run.

    Parameters
    ----------
    client, run
        Of the store, and the model's run.
    paths, model
        Where the model's files lie.
    """
    run_id = run.info.run_id
    for tag, files in provenance.evidence(paths, model).items():
        if not files or run.data.tags.get(f"{tag}_digest") == (digest := store.digest(*files)):
            continue
        for file in files:
            if tag == "card":
                took = provenance.effort(run.data.metrics, run.data.tags.get("train.machine"))
                text = file.read_text(encoding="utf-8").replace(provenance.EFFORT_ELSEWHERE, took)
                client.log_text(run_id, text, f"{tag}/{file.name}")
            else:
                client.log_artifact(run_id, str(file), tag)
            if file.suffix == ".onnx":
                client.set_tag(run_id, "onnx_model_id", _log_onnx(client, run, file, paths, model))
            if file.name == "metrics.json":
                metrics = read_metrics(file)
                batched(client, run_id, metrics=provenance.numbers(metrics.to_json()), params={})
                name = provenance.model_name(model, run.data.tags["model_digest"], metrics)
                client.update_run(run_id, name=name)
        client.set_tag(run_id, f"{tag}_digest", digest)


def _log_onnx(client: "MlflowClient", run: "Run", file: Path, paths: DatasetPaths, model: str) -> str:
    """Log the file that goes to the field as a model of the run; return the model's id.

    `mlflow.onnx.log_model` would look up the history of each of the run's thousands of metrics, one by one.
    """
    import mlflow
    import onnx
    import onnxruntime
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    onnxruntime.set_default_logger_severity(3)  # mlflow loads the file once more to try it: its advice is not news
    graph = onnx.load(file)
    features = read_fit(paths.model(model) / "fit.json", model).features
    outputs: list[ColSpec | TensorSpec] = [
        TensorSpec(
            np.dtype("float32"), (-1, *(d.dim_value or -1 for d in output.type.tensor_type.shape.dim[1:])), output.name
        )
        for output in graph.graph.output
    ]
    inputs = Schema([TensorSpec(np.dtype("float32"), (-1, len(features)), "features")])
    logged = client.create_logged_model(
        run.info.experiment_id, name="onnx", source_run_id=run.info.run_id, params=run.data.params
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/onnx"
        mlflow.onnx.save_model(
            graph,
            folder,
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
                run_id=run.info.run_id,
            ),
            signature=ModelSignature(inputs, Schema(outputs)),
            input_example={"features": _medians(paths, model, features)},
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
            pip_requirements=[f"onnxruntime=={version('onnxruntime')}"],
        )
        client.log_model_artifacts(logged.model_id, folder)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)


def _medians(paths: DatasetPaths, model: str, features: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return (1, features): the median of each feature. An example that is nobody's report."""
    table = store.read_table(paths.features(model), columns=features)
    columns = [table[name].to_numpy() for name in features]
    return np.array([[np.nanmedian(column) for column in columns]], dtype=np.float32)


def _log_inputs(client: "MlflowClient", run_id: str, inputs: list[provenance.Input]) -> None:
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
