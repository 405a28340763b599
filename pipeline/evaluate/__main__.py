"""``python -m pipeline.evaluate --dataset NAME --model NAME``: models and data/features -> reports."""

from pathlib import Path

import pyarrow as pa

from pipeline import cli, params, store
from pipeline.evaluate import area_risk, sensor_threat
from pipeline.paths import DatasetPaths


def main() -> None:
    """Read what was held out, measure it, write metrics and plots."""
    given = cli.parser("pipeline.evaluate", "Held-out predictions in, skill out.", model=True).parse_args()
    paths, declared = DatasetPaths(given.dataset), params.load()
    folder = paths.model(given.model)
    table, held_out = (_table(path) for path in (paths.features(given.model), folder / "heldout.parquet"))
    if given.model == "area_risk":
        found = area_risk.evaluate(
            table,
            held_out,
            store.read_json(folder / "fit.json"),
            declared.area_task(given.dataset),
            declared.evaluate,
            truth=_truth(paths, "intensity"),
        )
    else:
        found = sensor_threat.evaluate(
            table,
            held_out,
            declared.evaluate,
            measured=list(declared.measured(given.dataset)),
            name="_".join(declared.sensor_task(given.dataset).modalities),
            truth=_truth(paths, "detections"),
        )
    store.write_json(found.metrics, paths.evaluation(given.model) / "metrics.json")
    for name, points in found.plots.items():
        store.write_csv(points, paths.evaluation(given.model) / f"{name}.csv")
    print(f"{given.model}: metrics and plots in {paths.evaluation(given.model)}")
    # MLflow is a log beside the files, and slow to import: nothing above needs it
    from pipeline import tracking

    tracking.record(given.dataset, given.model)


def _truth(paths: DatasetPaths, name: str) -> pa.Table | None:
    known = store.read_json(paths.truth / "known.json")["known"]
    return store.read_table(paths.truth / f"{name}.parquet") if known else None


def _table(path: Path) -> pa.Table:
    if not path.exists():
        raise cli.StageError(
            f"{path}: no such file; run `python -m pipeline.features`, then `python -m pipeline.train`"
        )
    return store.read_table(path)


if __name__ == "__main__":
    cli.run(main)
