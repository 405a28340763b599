"""MLflow's store, made ready; and the search for a run in it."""

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE = "mlflow.db"
MOST_PARAMS, MOST_METRICS = 100, 1000
"""Parameters and metrics that MLflow takes in one call."""


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
    mlflow.set_tracking_uri(uri())
    return mlflow.MlflowClient()


def uri() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_root() / DATABASE}"


def experiment_of(client: "MlflowClient", dataset: str) -> str:
    """Return the id of a dataset's experiment, made at first use."""
    experiment = client.get_experiment_by_name(dataset)
    if experiment is not None:
        return str(experiment.experiment_id)
    location = None if os.environ.get("MLFLOW_TRACKING_URI") else (_root() / "mlruns").as_uri()
    return str(client.create_experiment(dataset, artifact_location=location))


def find_run(client: "MlflowClient", dataset: str, **tags: str) -> "Run | None":
    """Return the finished run of a dataset that carries all the tags; None where there is none."""
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        return None
    conditions = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs = client.search_runs(
        [experiment.experiment_id], filter_string=f"{conditions} and attributes.status = 'FINISHED'", max_results=1
    )
    return runs[0] if runs else None


def batched(client: "MlflowClient", run_id: str, *, metrics: Mapping[str, float], params: Mapping[str, Any]) -> None:
    """Log metrics and parameters in as few calls as the store takes: one by one, a thousand take seconds.

    Parameters
    ----------
    client, run_id
        Of the store, and of the run in it.
    metrics, params
        By name.
    """
    from mlflow.entities import Metric, Param

    now = int(1000 * time.time())
    values = [Metric(key, value, now, 0) for key, value in metrics.items()]
    texts = [Param(key, str(value)) for key, value in params.items()]
    for start in range(0, len(values), MOST_METRICS):
        client.log_batch(run_id, metrics=values[start : start + MOST_METRICS])
    for start in range(0, len(texts), MOST_PARAMS):
        client.log_batch(run_id, params=texts[start : start + MOST_PARAMS])


def find_model(client: "MlflowClient", dataset: str, model: str, digest: str) -> "Run | None":
    """Return the run of a fitted model; None where there is none.

    Parameters
    ----------
    client
        Of the store.
    dataset, model
        As in params.yaml.
    digest
        Of the model, by which its run is found.
    """
    return find_run(client, dataset, kind="model", model=model, model_digest=digest)


@contextmanager
def only_our_warnings() -> Iterator[None]:
    """Keep mlflow's own deprecation warnings, which nobody here can act on, out of a stage's output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _root() -> Path:
    """Return the project's root; of an experiment that DVC runs in a copy under .dvc/tmp, the copied project's."""
    folder = Path.cwd().resolve()
    return next((parent.parent for parent in folder.parents if parent.name == ".dvc"), folder)
