"""The stages' results for one model, from their files or from the model's MLflow run -> one `Evidence`."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.model import provenance
from pipeline.model.fit_record import AnyFitRecord, read_fit
from pipeline.model.parity_report import ParityReport
from pipeline.model.skill_records import Metrics, read_metrics
from pipeline.runtime.errors import StageError
from pipeline.storage import records, store
from pipeline.storage.paths import DatasetPaths

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ARTIFACTS = {
    "fit": "fit/fit.json",
    "evaluation": "evaluation/metrics.json",
    "held_out": "evaluation/heldout.parquet",
    "parity": "export/{model}.json",
    "onnx": "export/{model}.onnx",
}
"""The files that a verdict rests on, and where a model's MLflow run keeps them."""

OF_THE_MODEL = ("fit", "held_out", "onnx")
"""Those that never change while the model is the same; the measure of skill may change after a promotion."""


@dataclass(frozen=True)
class Evidence:
    """All that the gate reads of one model."""

    dataset: str
    model: str
    digest: str
    """The model's: of its booster and the record of its fit."""
    files: Mapping[str, str]
    """Digest of each file of `ARTIFACTS`."""
    onnx_bytes: int
    fit: AnyFitRecord
    metrics: Metrics
    parity: ParityReport
    held_out: pa.Table


def of_files(dataset: str, model: str) -> Evidence:
    """Read what the stages left in the working folder.

    Raises
    ------
    StageError
        A file is missing.
    """
    paths = DatasetPaths(dataset)
    files = {
        "fit": paths.model(model) / "fit.json",
        "evaluation": paths.evaluation(model) / "metrics.json",
        "held_out": paths.model(model) / "heldout.parquet",
        "parity": paths.parity(model),
        "onnx": paths.onnx(model),
    }
    for file in files.values():
        if not file.exists():
            raise StageError(f"{file}: no such file; expected what `dvc repro` makes")
    return _read(files, dataset, model, provenance.model_digest(paths, model))


def of_run(client: "MlflowClient", run: "Run", *, dataset: str, model: str, signed: Mapping[str, str]) -> Evidence:
    """Read what a model's MLflow run keeps.

    Parameters
    ----------
    client, run
        MLflow, and the model's run in it.
    dataset, model
        Names of the dataset and of its model.
    signed
        Digest of each file as the ledger has it.

    Raises
    ------
    StageError
        A file of the model is not the one that was signed.
    """
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: Path(client.download_artifacts(run_id, path.format(model=model), folder))
            for name, path in ARTIFACTS.items()
        }
        read = _read(files, dataset, model, run.data.tags["model_digest"])
    for name in OF_THE_MODEL:
        if read.files[name] != signed[name]:
            where, got = ARTIFACTS[name].format(model=model), read.files[name]
            raise StageError(
                f"MLflow run {run_id}: {where} is {got}; expected {signed[name]}, on which the ledger's decision rests"
            )
    return read


def _read(files: Mapping[str, Path], dataset: str, model: str, digest: str) -> Evidence:
    return Evidence(
        dataset=dataset,
        model=model,
        digest=digest,
        files={name: store.digest(file) for name, file in files.items()},
        onnx_bytes=files["onnx"].stat().st_size,
        fit=read_fit(files["fit"], model),
        metrics=read_metrics(files["evaluation"]),
        parity=records.read(files["parity"], ParityReport),
        held_out=store.read_table(files["held_out"]),
    )
