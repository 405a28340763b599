"""The export stage on files as train and evaluate leave them: a device can open its output and trust it."""

import dataclasses
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import fit_records
from support.made_features import feature

from pipeline import params
from pipeline.export.__main__ import main
from pipeline.model.catalogue import Catalogue
from pipeline.model.fit_record import AnyFitRecord, write_fit
from pipeline.model.log_odds import Calibration, LogLinear
from pipeline.model.novelty import Novelty
from pipeline.runtime.errors import StageError
from pipeline.storage.marking import Marking
from pipeline.storage.paths import DatasetPaths
from threat_scorer import Scorer
from threat_scorer.scoring.contract import KEY, Contract
from threat_scorer.scoring.features import assemble
from threat_scorer.scoring.golden import KEY as GOLDEN_KEY
from threat_scorer.scoring.golden import Golden, GoldenError

ROOT = Path(__file__).parents[2]
PATHS = DatasetPaths("simulated")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small sensor model and a small area model, as the stages before export leave them."""
    root = tmp_path_factory.mktemp("export")
    text = (ROOT / "params.yaml").read_text()
    _, _, export = text.partition("\nexport:\n")
    for key, value in (("random_rows", "300"), ("adversarial_rows", "300"), ("golden_rows", "20")):
        was = next(line for line in export.splitlines() if line.strip().startswith(f"{key}:"))
        text = text.replace(was, f"  {key}: {value}")
    (root / "params.yaml").write_text(text)
    rng = np.random.default_rng(0)
    measured = params.load(ROOT / "params.yaml").measured("simulated")
    columns = {name: rng.uniform(entry.low, entry.high, 300) for name, entry in measured.items()}
    columns["emi_in_phase"][::3] = np.nan
    names, matrix = assemble("sensor_threat", columns)
    usual = Novelty(tuple(measured), (), 0.02, np.zeros(len(measured)), np.eye(len(measured))[None])
    write_model(root, "sensor_threat", names, matrix, matrix[:, 0] > 0.5, fit_records.sensor_fit(novelty=usual))
    area = np.stack([rng.gamma(1.0, 2.0, 400), rng.integers(0, 5, 400)], axis=1).astype(np.float32)
    area[::7, 1] = np.nan
    line = {"baseline": LogLinear(-1.0, {"count_decay30d": 0.3}), "calibration": Calibration(1.1, 0.2)}
    fit = fit_records.area_fit(**line)
    write_model(root, "area_risk_28d", ("count_decay30d", "count_ring1"), area, area[:, 0] > 3, fit)
    return root


def write_model(
    root: Path, model: str, names: tuple[str, ...], rows: np.ndarray, y: np.ndarray, fit: AnyFitRecord
) -> None:
    for folder in (PATHS.model(model), PATHS.evaluation(model), PATHS.features(model).parent):
        (root / folder).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(zip(names, rows.T, strict=True))), root / PATHS.features(model))
    catalogue = Catalogue(features=tuple(map(feature, names)), marking=Marking("TEST", ("ALL",), "GREEN"), rows={})
    catalogue.write(root / PATHS.catalogue(model))
    options = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 5}
    booster = lgb.train(options, lgb.Dataset(rows, y.astype(int), feature_name=list(names)), 8)
    booster.save_model(root / PATHS.model(model) / "model.txt")
    marking = Marking("TEST", ("ALL",), "GREEN")
    fit = replace(fit, features=list(names), base_rate=float(y.mean()), marking=marking)
    write_fit(fit, root / PATHS.model(model) / "fit.json")
    (root / PATHS.evaluation(model) / "metrics.json").write_text(json.dumps({"operating_points": {"alarm": 0.5}}))


def export(root: Path, model: str, monkeypatch: pytest.MonkeyPatch, *more: str) -> onnx.ModelProto:
    monkeypatch.chdir(root)
    monkeypatch.setattr("pipeline.tracking.record", lambda dataset, model: None)
    monkeypatch.setattr(sys, "argv", ["export", "--dataset", "simulated", "--model", model, *more])
    main()
    return onnx.load(PATHS.onnx(model))


@pytest.mark.parametrize("model", ["sensor_threat", "area_risk_28d"])
def test_the_file_opens_in_the_scorer_and_gives_the_boosters_probability(
    files: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = export(files, model, monkeypatch)
    contract = Contract.from_json({entry.key: entry.value for entry in shipped.metadata_props}[KEY])
    booster = lgb.Booster(model_file=files / PATHS.model(model) / "model.txt")
    inputs = {entry.name: np.array([entry.low, (entry.low + entry.high) / 2]) for entry in contract.inputs}
    _, matrix = assemble(model, inputs)
    log_odds = booster.predict(matrix, raw_score=True)
    if model == "area_risk_28d":
        log_odds = 1.1 * (log_odds - 1.0 + 0.3 * matrix[:, 0].astype(np.float64)) + 0.2
    scored = Scorer.load(PATHS.bundle).score(model, inputs)
    np.testing.assert_allclose(scored.probability, 1 / (1 + np.exp(-log_odds)), atol=1e-6)


def test_the_contract_has_the_values_that_the_stage_was_given(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    props = {e.key: e.value for e in export(files, "area_risk_28d", monkeypatch).metadata_props}
    contract = Contract.from_json(props[KEY])
    decay, ring = contract.inputs
    rows = pq.read_table(PATHS.features("area_risk_28d"))["count_decay30d"].to_numpy()
    assert (decay.low, decay.high, decay.required) == (rows.min(), rows.max(), True)
    assert (ring.low, ring.high, ring.required) == (0, 4, False)
    assert contract.horizon_days == 28
    assert contract.simulated
    assert contract.operating_points == {"alarm": 0.5}
    assert contract.marking.tlp == "GREEN"


def test_golden_rows_are_made_and_carry_their_outputs(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = export(files, "sensor_threat", monkeypatch)
    golden = Golden.from_json({e.key: e.value for e in shipped.metadata_props}[GOLDEN_KEY])
    real = np.stack([c.to_numpy() for c in pq.read_table(PATHS.features("sensor_threat")).columns], axis=1)
    assert golden.features.shape == (20, real.shape[1])
    assert np.isnan(golden.features).any()
    assert not np.isin(golden.features[:, :2], real[:, :2]).any()
    booster = lgb.Booster(model_file=PATHS.model("sensor_threat") / "model.txt")
    np.testing.assert_allclose(golden.probability, booster.predict(golden.features), atol=1e-6)


def test_golden_rows_that_were_cut_short_are_refused() -> None:
    values = np.ones(3, np.float32)
    text = Golden(values[:, None], values, values).to_json()
    for broken in (text.replace('"rows": 3', '"rows": 4'), text[:-9], "[]", "{}"):
        with pytest.raises(GoldenError, match="golden rows"):
            Golden.from_json(broken)


def test_the_same_files_give_the_same_bytes(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(files, "area_risk_28d", monkeypatch)
    first = [PATHS.onnx("area_risk_28d").read_bytes(), PATHS.parity("area_risk_28d").read_bytes()]
    export(files, "area_risk_28d", monkeypatch)
    assert [PATHS.onnx("area_risk_28d").read_bytes(), PATHS.parity("area_risk_28d").read_bytes()] == first


def test_the_report_counts_what_was_compared(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(files, "area_risk_28d", monkeypatch)
    report = json.loads(PATHS.parity("area_risk_28d").read_text())
    assert {kind: entry["wrong_leaves"] for kind, entry in report["rows"].items()} == dict.fromkeys(
        ("test", "random", "threshold", "adversarial"), 0
    )
    assert report["rows"]["test"]["leaves"] == 400 * report["trees"]
    assert report["rows"]["test"]["probability_difference"] <= 1e-6
    assert report["explanations_difference"] <= 1e-6


def test_the_reference_variant_is_written_on_request(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(files, "area_risk_28d", monkeypatch, "--reference", "double.onnx")
    double = onnx.load("double.onnx")
    assert double.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    weights = next(a.t for n in double.graph.node for a in n.attribute if a.name == "leaf_weights")
    booster = lgb.Booster(model_file=PATHS.model("area_risk_28d") / "model.txt")
    exact = [booster.get_leaf_output(0, leaf) for leaf in range(3)]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weights)[:3], exact)


def test_features_in_another_order_end_the_stage(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(files, tmp_path / "copy")
    path = tmp_path / "copy" / PATHS.catalogue("area_risk_28d")
    catalogue = Catalogue.read(path)
    dataclasses.replace(catalogue, features=catalogue.features[::-1]).write(path)
    with pytest.raises(StageError, match=r"fit.json: feature 0 is 'count_decay30d', expected 'count_ring1'"):
        export(tmp_path / "copy", "area_risk_28d", monkeypatch)


def test_a_model_that_cannot_be_exported_ends_the_stage_with_the_reason(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(files, tmp_path / "copy")
    text = tmp_path / "copy" / PATHS.model("area_risk_28d") / "model.txt"
    text.write_text(text.read_text().replace("objective=binary sigmoid:1", "objective=regression"))
    with pytest.raises(StageError, match=r"models/simulated/area_risk_28d: objective 'regression' has no log-odds"):
        export(tmp_path / "copy", "area_risk_28d", monkeypatch)
