"""``python -m pipeline.evaluate --dataset NAME --model NAME``: models and data/features -> reports.

``python -m pipeline.evaluate surface --date DAY [--dataset NAME] [--model NAME] [--out FOLDER]``: the risk of a day.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

import lightgbm
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import params
from pipeline.evaluate import area_risk, sensor_threat
from pipeline.evaluate.plots import gallery
from pipeline.evaluate.surface import risk_surface
from pipeline.model.catalogue import Catalogue
from pipeline.model.fit_record import AreaFitRecord, read_fit
from pipeline.model.skill_records import write_metrics
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError
from pipeline.runtime.local_days import zone_of
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths


def main() -> None:
    """Measure what was held out, or lay out the risk of a day for planners."""
    if sys.argv[1:2] == ["surface"]:
        _surface(sys.argv[2:])
    else:
        _evaluate()


def _evaluate() -> None:
    given = cli.parser("pipeline.evaluate", "Held-out predictions in, skill out.", model=True).parse_args()
    paths, declared = DatasetPaths(given.dataset), params.load()
    declared.kind(given.dataset, given.model)
    folder = paths.model(given.model)
    table, held_out = (_table(path) for path in (paths.features(given.model), folder / "heldout.parquet"))
    fit = read_fit(folder / "fit.json", given.model)
    if isinstance(fit, AreaFitRecord):
        evaluation = area_risk.evaluate(
            table,
            held_out,
            fit,
            declared.area_task(given.dataset, given.model),
            declared.evaluate,
            features=Catalogue.read(paths.catalogue(given.model)).features,
            truth=_truth(paths, "intensity"),
        )
    else:
        evaluation = sensor_threat.evaluate(
            table,
            held_out,
            fit,
            declared.evaluate,
            measured=declared.measured(given.dataset),
            optional=list(declared.optional_modalities(given.dataset).values()),
            group_area_m2=declared.sensor_task(given.dataset).group_area_m2,
            name="_".join(declared.sensor_task(given.dataset).modalities),
            truth=_truth(paths, "detections"),
        )
    write_metrics(evaluation.metrics, paths.evaluation(given.model) / "metrics.json")
    gallery.write(
        paths.evaluation(given.model),
        evaluation,
        table,
        held_out,
        lightgbm.Booster(model_file=folder / "model.txt"),
        fit,
        named=f"{given.model}, {given.dataset}",
        simulated=declared.dataset(given.dataset).simulated,
        seed=declared.evaluate.seed,
    )
    print(f"{given.model}: metrics and plots in {paths.evaluation(given.model)}")
    # MLflow is a log beside the files, and slow to import: nothing above needs it
    from pipeline import tracking

    tracking.record(given.dataset, given.model)


def _surface(words: list[str]) -> None:
    arguments = argparse.ArgumentParser(prog="python -m pipeline.evaluate surface", description=risk_surface.__doc__)
    arguments.add_argument("--dataset", help="an entry of `datasets` in params.yaml; without it, the one of `run`")
    arguments.add_argument("--model", help="as area_risk_28d; without it, the dataset's first of area risk")
    arguments.add_argument(
        "--date", required=True, type=date.fromisoformat, help="a day of the theatre, such as 2022-04-01"
    )
    arguments.add_argument("--out", type=Path, help="folder; without it, reports/<dataset>/surface")
    given = arguments.parse_args(words)
    declared = params.load()
    dataset = given.dataset or declared.run.dataset
    entry, paths = declared.dataset(dataset), DatasetPaths(dataset)
    model = given.model or declared.planners_model(dataset)
    declared.area_task(dataset, model)
    features, folder = paths.features(model), paths.model(model)
    calibration, held_out = (_table(folder / name) for name in ("calibration.parquet", "heldout.parquet"))
    fit = read_fit(folder / "fit.json", model)
    assert isinstance(fit, AreaFitRecord)  # area_task has refused every other kind
    cutoffs = _table(features, columns=["cutoff"])
    zone = zone_of(cutoffs.schema)
    valid = risk_surface.validity(given.date, pc.unique(cutoffs["cutoff"]).to_pylist(), fit, zone=zone)
    rows = pa.concat_tables(
        batch.filter(pc.equal(batch["cutoff"], valid.cutoff)) for batch in store.read_batches(features)
    )
    surface = risk_surface.build(
        rows,
        risk_surface.known_by(valid.cutoff, calibration, held_out, horizon_days=fit.horizon_days, zone=zone),
        lightgbm.Booster(model_file=folder / "model.txt"),
        fit,
        valid,
        declared.evaluate,
        features=Catalogue.read(paths.catalogue(model)).features,
        simulated=entry.simulated,
    )
    stem = (given.out or paths.reports / "surface") / f"{model}-{given.date.isoformat()}"
    store.write_table(surface.table, stem.with_suffix(".parquet"), schema=risk_surface.SCHEMA, sort_by=("cell",))
    store.write_json(risk_surface.geojson(surface), stem.with_suffix(".geojson"))
    print(f"{risk_surface.describe(surface)}\n{stem}.geojson and .parquet")


def _truth(paths: DatasetPaths, name: str) -> pa.Table | None:
    known = store.read_json(paths.truth / "known.json")["known"]
    return store.read_table(paths.truth / f"{name}.parquet") if known else None


def _table(path: Path, columns: list[str] | None = None) -> pa.Table:
    if not path.exists():
        raise StageError(f"{path}: no such file; run `python -m pipeline.features`, then `python -m pipeline.train`")
    return store.read_table(path, columns=columns)


if __name__ == "__main__":
    cli.run(main)
