"""``python -m pipeline.features --dataset NAME --model NAME``: data/tables -> data/features."""

from pipeline import params
from pipeline.features import area_risk, sensor_threat
from pipeline.features.area_risk import AreaRows
from pipeline.features.sensor_threat import SensorRows
from pipeline.model.catalogue import Catalogue
from pipeline.runtime import cli
from pipeline.storage import records, store
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
    records.write(rows.process, paths.process(model))
    _write(rows, most_restrictive(*tables.values()), paths, model)


def _sensor_threat(declared: params.Params, paths: DatasetPaths, model: str) -> None:
    detections = open_tables(paths.dataset, ["detections"])["detections"]
    random_groups = declared.sensor_task(paths.dataset).random_groups
    rows = sensor_threat.build(detections, declared.measured(paths.dataset), random_groups=random_groups)
    _write(rows, most_restrictive(detections), paths, model)


def _write(rows: AreaRows | SensorRows, marking: Marking, paths: DatasetPaths, model: str) -> None:
    catalogue = Catalogue(features=rows.features, marking=marking, rows=rows.counts)
    store.write_table(
        rows.table,
        paths.features(model),
        schema=rows.table.schema,
        sort_by=ROW_KEYS[kind_of(model)],
        plain=catalogue.names,
    )
    catalogue.write(paths.catalogue(model))
    counts = ", ".join(f"{name} {count}" for name, count in rows.counts.items())
    print(f"{model}: {rows.table.num_rows} rows of {rows.table.num_columns} columns ({counts})")


if __name__ == "__main__":
    cli.run(main)
