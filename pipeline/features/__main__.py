"""``python -m pipeline.features --dataset NAME --model NAME``: data/tables -> data/features."""

from collections.abc import Collection

import pyarrow as pa

from pipeline import params
from pipeline.features import area_risk, sensor_threat
from pipeline.features.area_risk import AreaRows
from pipeline.features.sensor_threat import SensorRows
from pipeline.model.catalogue import document
from pipeline.runtime import cli
from pipeline.storage import store
from pipeline.storage.marking import Marking, most_restrictive
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.read import open_tables
from pipeline.storage.schemas import ROW_KEYS
from threat_scorer.scoring.kinds import kind_of


def main() -> None:
    """Read the tables, build one model's rows, write them and what each feature is."""
    given = cli.parser("pipeline.features", "Tables in, feature rows out.", model=True).parse_args()
    paths, declared = DatasetPaths(given.dataset), params.load()
    build = {"area_risk": _area_risk, "sensor_threat": _sensor_threat}[declared.kind(given.dataset, given.model)]
    build(declared, paths, given.model)


def _area_risk(declared: params.Params, paths: DatasetPaths, model: str) -> None:
    tables = open_tables(paths.dataset, ("incidents", "observations", "places"))
    rows = area_risk.build(
        **tables,
        theatre=declared.theatre(paths.dataset),
        task=declared.area_task(paths.dataset, model),
        features=declared.features.area_risk,
        admiralty=declared.admiralty,
    )
    _write(rows, rows.table.schema, most_restrictive(*tables.values()), paths, model)


def _sensor_threat(declared: params.Params, paths: DatasetPaths, model: str) -> None:
    detections = open_tables(paths.dataset, ["detections"])["detections"]
    random_groups = declared.sensor_task(paths.dataset).random_groups
    rows = sensor_threat.build(detections, declared.measured(paths.dataset), random_groups=random_groups)
    schema, marking = sensor_threat.schema(rows.features), most_restrictive(detections)
    _write(rows, schema, marking, paths, model, only_linear=rows.only_linear)


def _write(
    rows: AreaRows | SensorRows,
    schema: pa.Schema,
    marking: Marking,
    paths: DatasetPaths,
    model: str,
    *,
    only_linear: Collection[str] = (),
) -> None:
    store.write_table(rows.table, paths.features(model), schema=schema, sort_by=ROW_KEYS[kind_of(model)])
    described = document(rows.features, linear=rows.linear, only_linear=only_linear, marking=marking, rows=rows.counts)
    store.write_json(described, paths.catalogue(model))
    said = ", ".join(f"{name} {count}" for name, count in rows.counts.items())
    print(f"{model}: {rows.table.num_rows} rows of {rows.table.num_columns} columns ({said})")


if __name__ == "__main__":
    cli.run(main)
