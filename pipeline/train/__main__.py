"""``python -m pipeline.train --dataset NAME --model NAME``: data/features -> models."""

import dataclasses
from typing import TypeAlias

import pyarrow as pa

from pipeline import params
from pipeline.model.catalogue import Catalogue
from pipeline.model.fit_record import write_fit
from pipeline.model.fitted import Columns
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError
from pipeline.runtime.resource_use import Stopwatch
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.schemas import ROW_KEYS
from pipeline.train import area_risk, sensor_threat
from pipeline.train.area_risk import AreaFit
from pipeline.train.sensor_threat import SensorFit


def main() -> None:
    """Read one model's rows, fit it, score what it had not seen, and write both."""
    given = cli.parser("pipeline.train", "Feature rows in, a fitted model out.", model=True).parse_args()
    paths, declared = DatasetPaths(given.dataset), params.load()
    kind = declared.kind(given.dataset, given.model)
    if not paths.features(given.model).exists():
        raise StageError(f"{paths.features(given.model)}: no such file; run `python -m pipeline.features` first")
    table, catalogue = store.read_table(paths.features(given.model)), Catalogue.read(paths.catalogue(given.model))
    columns = Columns(catalogue.names, linear=catalogue.linear, only_linear=catalogue.only_linear)
    train = {"area_risk": _area_risk, "sensor_threat": _sensor_threat}[kind]
    watch = Stopwatch()
    fit, predicted = train(declared, given.dataset, given.model, table, columns)
    effort = watch.read()  # for MLflow alone: a time in a file would make every run another file
    folder, digest = paths.model(given.model), store.digest(paths.features(given.model))
    with store.replacing(folder / "model.txt") as new:
        fit.model.booster.save_model(str(new))
    write_fit(fit.record(features_digest=digest, marking=catalogue.marking), folder / "fit.json")
    for name, rows in predicted.items():
        store.write_table(rows, folder / f"{name}.parquet", schema=rows.schema, sort_by=ROW_KEYS[kind])
    print(
        f"{given.model}: {fit.rows} training rows, {fit.positives} positive; {fit.best_iteration} trees; "
        f"{predicted['heldout'].num_rows} rows held out"
    )
    # MLflow is a log beside the files, and slow to import: nothing above needs it
    from pipeline import tracking

    tracking.record(given.dataset, given.model, effort=effort)


Trained: TypeAlias = tuple[AreaFit | SensorFit, dict[str, pa.Table]]
"""The fit, and the predictions of rows that no fit had seen, by the file's name."""


def _area_risk(declared: params.Params, dataset: str, model: str, table: pa.Table, columns: Columns) -> Trained:
    task, settings = declared.area_task(dataset, model), declared.train.area_risk[model]
    fit, held_out, calibration = area_risk.train(table, columns, task, settings)
    return fit, {"heldout": held_out, "calibration": calibration}


def _sensor_threat(declared: params.Params, dataset: str, _: str, table: pa.Table, columns: Columns) -> Trained:
    task, settings = declared.sensor_task(dataset), declared.train.sensor_threat
    if task.baseline_ridge is not None:
        settings = dataclasses.replace(settings, baseline_ridge=task.baseline_ridge)
    fit, held_out = sensor_threat.train(
        table,
        columns,
        settings,
        measured=list(declared.measured(dataset)),
        optional=declared.optional_modalities(dataset),
        task=task,
    )
    return fit, {"heldout": held_out}


if __name__ == "__main__":
    cli.run(main)
