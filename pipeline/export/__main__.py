"""models/<dataset>/<model> -> models/<dataset>/bundle/<model>.onnx and models/<dataset>/parity/<model>.json."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from pipeline.export import graph, metadata
from pipeline.export.gate import parity, rows
from pipeline.export.gate.reference import Reference
from pipeline.export.gate.rows import RealColumns
from pipeline.export.graph_builder import VARIANTS
from pipeline.export.trees import ModelNotExportable, parse
from pipeline.model.catalogue import Catalogue
from pipeline.model.fit_record import AnyFitRecord, SensorFitRecord, read_fit
from pipeline.model.log_odds import clipped
from pipeline.model.parity_report import OperatingPoints, ParityReport
from pipeline.model.skill_records import read_metrics
from pipeline.params import load
from pipeline.params.stages import Export
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError
from pipeline.runtime.progress import Progress
from pipeline.storage import records, store
from pipeline.storage.paths import DatasetPaths


def main() -> None:
    """Export one model of one dataset, if it passes the parity gate."""
    arguments = cli.parser("pipeline.export", __doc__, model=True)
    arguments.add_argument("--reference", type=Path, metavar="FILE", help="also write the variant in double there")
    given = arguments.parse_args()
    params, paths, model = load(), DatasetPaths(given.dataset), given.model
    settings = params.export
    fitted = _read(paths, model, limit=settings.log_odds_limit)
    real, rng = RealColumns.of(fitted.rows), np.random.default_rng(settings.seed)

    typical = clipped(fitted.rows).mean(axis=0) if settings.explanations else None
    exported = _built(fitted, model, settings.variant, named=settings.inputs == "named", typical=typical)
    passed = _compared(exported, fitted, real, settings, rng, variant=settings.variant)
    difference = None
    if typical is not None:
        explained = np.concatenate([fitted.rows[:256], real.random(256, rng)])
        difference = parity.check_explanations(exported, fitted.reference, explained, typical=typical)
    contract = metadata.contract(
        params,
        dataset=given.dataset,
        model=model,
        fit=fitted.fit,
        catalogue=fitted.catalogue,
        rows=fitted.rows,
        operating_points=passed.operating_points,
        booster_digest=fitted.booster_digest,
    )
    golden = metadata.golden(exported, contract, real.synthetic(settings.golden_rows, rng))
    content = metadata.with_metadata(exported, contract, golden)
    _write(content, paths.onnx(model))
    report = ParityReport(
        variant=settings.variant,
        oldest_onnxruntime=VARIANTS[settings.variant].oldest_onnxruntime,
        onnx_bytes=len(content),
        trees=fitted.reference.forest.n_trees,
        tolerance=VARIANTS[settings.variant].tolerance,
        rows=passed.rows,
        operating_points=OperatingPoints(evaluated=fitted.operating_points, exported=passed.operating_points),
        explanations_difference=difference,
    )
    records.write(report, paths.parity(model))
    print(f"{paths.onnx(model)}: {len(content):,} bytes; {report.leaves:,} leaves are those of LightGBM, none differs")

    if given.reference:
        double = _built(fitted, model, "reference")
        _compared(double, replace(fitted, operating_points={}), real, settings, rng, variant="reference")
        _write(double.SerializeToString(deterministic=True), given.reference)

    # MLflow is a log beside the files, and slow to import: nothing above needs it
    from pipeline import tracking

    tracking.record(given.dataset, model)


@dataclass(frozen=True)
class _Fitted:
    """What the stages before export left of one model."""

    reference: Reference
    fit: AnyFitRecord
    catalogue: Catalogue
    rows: rows.Rows
    operating_points: dict[str, float]
    booster_digest: str


def _read(paths: DatasetPaths, model: str, *, limit: float) -> _Fitted:
    folder = paths.model(model)
    fit, text = read_fit(folder / "fit.json", model), (folder / "model.txt").read_text(encoding="utf-8")
    catalogue = Catalogue.read(paths.catalogue(model))
    names = list(catalogue.names)
    try:
        forest = parse(text)
        # the area model is the prior: it takes none
        sensor = fit if isinstance(fit, SensorFitRecord) else None
        base_rate, interval, novelty = (sensor.base_rate, sensor.interval, sensor.novelty) if sensor else (None,) * 3
        formula = fit.formula.in_the_field(names, limit=limit, base_rate=base_rate)
        if novelty and novelty.inputs != tuple(names[: len(novelty.inputs)]):
            raise ValueError(f"novelty.inputs: got {list(novelty.inputs)}; expected the first of {names}")
    except (ModelNotExportable, ValueError) as error:
        raise StageError(f"{folder}: {error}") from None
    metadata.agree_on_features(
        {
            str(paths.catalogue(model)): names,
            str(folder / "fit.json"): fit.features,
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


def _built(
    fitted: _Fitted, model: str, variant: str, *, named: bool = False, typical: NDArray[np.float64] | None = None
) -> ModelProto:
    reference = fitted.reference
    return graph.build(
        reference.forest,
        reference.formula,
        name=model,
        interval=reference.interval,
        novelty=reference.novelty,
        variant=variant,
        named=named,
        typical=typical,
    )


def _compared(
    exported: ModelProto,
    fitted: _Fitted,
    real: RealColumns,
    settings: Export,
    rng: np.random.Generator,
    *,
    variant: str,
) -> parity.Parity:
    forest = fitted.reference.forest
    threshold = rows.threshold_rows(forest, fitted.rows, fitted.reference.leaves(fitted.rows))
    gate_rows: dict[str, Iterable[rows.Rows]] = {
        "test": [fitted.rows],
        "random": rows.in_parts(lambda n: real.random(n, rng), settings.random_rows),
        "threshold": [threshold],
        "adversarial": rows.in_parts(lambda n: rows.adversarial_rows(forest, n, rng), settings.adversarial_rows),
    }
    total = len(fitted.rows) + settings.random_rows + len(threshold) + settings.adversarial_rows
    with Progress("parity gate", total=total, unit="row") as progress:
        return parity.check(
            exported,
            fitted.reference,
            gate_rows,
            operating_points=fitted.operating_points,
            tolerance=VARIANTS[variant].tolerance,
            compared=progress.advance,
        )


def _write(content: bytes, path: Path) -> None:
    with store.replacing(path) as new:
        new.write_bytes(content)


if __name__ == "__main__":
    cli.run(main)
