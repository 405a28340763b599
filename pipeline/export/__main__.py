"""models/<dataset>/<model> -> models/<dataset>/bundle/<model>.onnx and reports/<dataset>/parity/<model>.json."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from pipeline import params
from pipeline.export import graph, metadata
from pipeline.export.gate import parity, rows
from pipeline.export.gate.reference import Reference
from pipeline.export.graph_builder import FORMS
from pipeline.export.trees import ModelNotExportable, parse
from pipeline.model.intervals import IntervalTable
from pipeline.model.log_odds import CalibratedLogOdds, clipped
from pipeline.model.novelty import Novelty
from pipeline.model.skill_records import read_metrics
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from threat_scorer.scoring.kinds import kind_of


def main() -> None:
    """Export one model of one dataset, if it passes the parity gate."""
    arguments = cli.parser("pipeline.export", __doc__, model=True)
    arguments.add_argument("--reference", type=Path, metavar="FILE", help="also write the form in double there")
    given = arguments.parse_args()
    settings, paths, model = params.load(), DatasetPaths(given.dataset), given.model
    fitted = _read(paths, model, limit=settings.export.log_odds_limit)
    reference, real, form = fitted.reference, fitted.rows, FORMS[settings.export.form]
    columns, chances = rows.Columns.of(real), np.random.default_rng(settings.export.seed)

    typical = clipped(real).mean(axis=0) if settings.export.reasons else None
    exported = graph.build(
        reference.forest,
        reference.formula,
        name=model,
        interval=reference.interval,
        novelty=reference.novelty,
        form=settings.export.form,
        named=settings.export.inputs == "named",
        typical=typical,
    )
    passed = parity.check(
        exported,
        reference,
        _gate_rows(fitted, columns, settings.export, chances),
        operating_points=fitted.operating_points,
        tolerance=form.tolerance,
    )
    report: dict[str, Any] = {
        "form": settings.export.form,
        "oldest_onnxruntime": form.oldest_onnxruntime,
        "tolerance": form.tolerance,
        "trees": reference.forest.n_trees,
        "operating_points": {"asked": fitted.operating_points, "settled": passed.operating_points},
        "rows": passed.rows,
    }
    if typical is not None:
        explained = np.concatenate([real[:256], columns.random(256, chances)])
        report["reasons_difference"] = parity.check_reasons(exported, reference, explained, typical=typical)
    contract = metadata.contract(
        settings,
        dataset=given.dataset,
        model=model,
        fit=fitted.fit,
        catalogue=fitted.catalogue,
        rows=real,
        operating_points=passed.operating_points,
        booster_digest=fitted.booster_digest,
    )
    golden = metadata.golden(exported, contract, columns.made(settings.export.golden_rows, chances))
    content = metadata.described(exported, contract, golden)
    _write(content, paths.onnx(model))
    store.write_json({**report, "onnx_bytes": len(content)}, paths.parity(model))
    compared = sum(int(kind["leaves"]) for kind in passed.rows.values())
    print(f"{paths.onnx(model)}: {len(content):,} bytes; {compared:,} leaves compared with LightGBM's, none differs")

    if given.reference:
        double = graph.build(
            reference.forest,
            reference.formula,
            name=model,
            interval=reference.interval,
            novelty=reference.novelty,
            form="reference",
        )
        gate_rows = _gate_rows(fitted, columns, settings.export, chances)
        tolerance = FORMS["reference"].tolerance
        parity.check(double, reference, gate_rows, operating_points={}, tolerance=tolerance)
        _write(double.SerializeToString(deterministic=True), given.reference)

    # MLflow is a log beside the files, and slow to import: nothing above needs it
    from pipeline import tracking

    tracking.record(given.dataset, model)


@dataclass(frozen=True)
class _Fitted:
    """What the stages before export left of one model."""

    reference: Reference
    fit: dict[str, Any]
    catalogue: list[dict[str, str]]
    rows: rows.Rows
    operating_points: dict[str, float]
    booster_digest: str


def _read(paths: DatasetPaths, model: str, *, limit: float) -> _Fitted:
    folder = paths.model(model)
    fit, text = store.read_json(folder / "fit.json"), (folder / "model.txt").read_text(encoding="utf-8")
    catalogue = store.read_json(paths.catalogue(model))["features"]
    names = [feature["name"] for feature in catalogue]
    try:
        forest = parse(text)
        # the area model is the prior: it takes none
        base_rate = float(fit["base_rate"]) if kind_of(model) == "sensor_threat" else None
        formula = CalibratedLogOdds.of_fit(fit).in_the_field(names, limit=limit, base_rate=base_rate)
        interval = IntervalTable.of_json(fit["interval"]) if "interval" in fit else None
        novelty = Novelty.of_json(fit["novelty"]) if "novelty" in fit else None
        if novelty and novelty.inputs != tuple(names[: len(novelty.inputs)]):
            raise ValueError(f"novelty.inputs: got {list(novelty.inputs)}; expected the first of {names}")
    except (ModelNotExportable, ValueError) as error:
        raise StageError(f"{folder}: {error}") from None
    metadata.agree_on_features(
        {
            str(paths.catalogue(model)): names,
            str(folder / "fit.json"): fit["features"],
            str(folder / "model.txt"): forest.feature_names,
        }
    )
    table = store.read_table(paths.features(model), columns=names)
    return _Fitted(
        reference=Reference(lgb.Booster(model_str=text), forest, formula, interval, novelty),
        fit=fit,
        catalogue=catalogue,
        rows=np.stack([column.to_numpy() for column in table.columns], axis=1),
        operating_points=read_metrics(paths.evaluation(model) / "metrics.json").operating_points,
        booster_digest=store.digest(folder / "model.txt"),
    )


def _gate_rows(
    fitted: _Fitted, columns: rows.Columns, settings: params.Export, chances: np.random.Generator
) -> dict[str, Iterable[rows.Rows]]:
    forest = fitted.reference.forest
    return {
        "test": [fitted.rows],
        "random": rows.in_parts(lambda n: columns.random(n, chances), settings.random_rows),
        "threshold": [rows.threshold_rows(forest, fitted.rows, fitted.reference.leaves(fitted.rows))],
        "adversarial": rows.in_parts(lambda n: rows.adversarial_rows(forest, n, chances), settings.adversarial_rows),
    }


def _write(content: bytes, path: Path) -> None:
    with store.replacing(path) as new:
        new.write_bytes(content)


if __name__ == "__main__":
    cli.run(main)
