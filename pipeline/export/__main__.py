"""models/<dataset>/<model> -> models/<dataset>/bundle/<model>.onnx and reports/<dataset>/parity/<model>.json."""

from collections.abc import Iterable
from pathlib import Path

import lightgbm as lgb
import numpy as np

from pipeline import cli, params, store
from pipeline.export import describe, graph, parity, rows
from pipeline.export.stages import Stages, held
from pipeline.export.trees import ModelNotExportable, parse
from pipeline.paths import DatasetPaths


def main() -> None:
    """Export one model of one dataset, if it passes the parity gate."""
    arguments = cli.parser("pipeline.export", __doc__, model=True)
    arguments.add_argument("--reference", type=Path, metavar="FILE", help="also write the form in double there")
    given = arguments.parse_args()
    settings = params.load()
    paths, model = DatasetPaths(given.dataset), given.model
    text_path, fit_path = paths.model(model) / "model.txt", paths.model(model) / "fit.json"
    fit = store.read_json(fit_path)
    catalogue = store.read_json(paths.catalogue(model))["features"]
    names = [feature["name"] for feature in catalogue]
    real = np.stack(
        [column.to_numpy() for column in store.read_table(paths.features(model), columns=names).columns], axis=1
    )
    operating_points = store.read_json(paths.evaluation(model) / "metrics.json")["operating_points"]

    text = text_path.read_text(encoding="utf-8")
    try:
        forest = parse(text)
        stages = Stages.of(fit, names)
    except (ModelNotExportable, ValueError) as error:
        raise cli.StageError(f"{paths.model(model)}: {error}") from None
    describe.agree_on_features(
        {str(paths.catalogue(model)): names, str(fit_path): fit["features"], str(text_path): forest.feature_names}
    )

    reference = parity.Reference(lgb.Booster(model_str=text), forest, stages)
    columns, chances = rows.Columns.of(real), np.random.default_rng(settings.export.seed)

    def gate_rows() -> dict[str, Iterable[rows.Rows]]:
        return {
            "test": [real],
            "random": rows.in_parts(lambda n: columns.random(n, chances), settings.export.random_rows),
            "threshold": [rows.threshold_rows(forest, real, reference.leaves(real))],
            "adversarial": [rows.adversarial_rows(forest, settings.export.adversarial_rows, chances)],
        }

    form = graph.FORMS[settings.export.form]
    typical = held(real).mean(axis=0) if settings.export.reasons else None
    exported = graph.build(forest, stages, name=model, form=settings.export.form, typical=typical)
    passed = parity.check(exported, reference, gate_rows(), operating_points=operating_points, tolerance=form.tolerance)
    contract = describe.contract(
        settings,
        dataset=given.dataset,
        model=model,
        fit=fit,
        catalogue=catalogue,
        rows=real,
        operating_points=passed.operating_points,
        booster_digest=store.digest(text_path),
    )
    golden = describe.golden(exported, contract, columns.made(settings.export.golden_rows, chances))
    content = describe.described(exported, contract, golden)
    report: dict[str, object] = {
        "form": settings.export.form,
        "oldest_onnxruntime": form.oldest_onnxruntime,
        "tolerance": form.tolerance,
        "trees": forest.n_trees,
        "onnx_bytes": len(content),
        "operating_points": {"asked": operating_points, "settled": passed.operating_points},
        "rows": passed.rows,
    }
    if typical is not None:
        explained = np.concatenate([real[:256], columns.random(256, chances)])
        report["reasons_difference"] = parity.check_reasons(exported, reference, explained, typical=typical)
    _write(content, paths.onnx(model))
    store.write_json(report, paths.parity(model))
    compared = sum(int(kind["leaves"]) for kind in passed.rows.values())
    print(f"{paths.onnx(model)}: {len(content):,} bytes; {compared:,} leaves compared with LightGBM's, none differs")

    if given.reference:
        double = graph.build(forest, stages, name=model, form="reference")
        parity.check(double, reference, gate_rows(), operating_points={}, tolerance=graph.FORMS["reference"].tolerance)
        _write(double.SerializeToString(deterministic=True), given.reference)


def _write(content: bytes, path: Path) -> None:
    with store.replacing(path) as new:
        new.write_bytes(content)


if __name__ == "__main__":
    cli.run(main)
