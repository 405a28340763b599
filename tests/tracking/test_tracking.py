"""MLflow shows what the files say: once, whole, and under names that can be read in a list."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import finished_stages, fit_records
from support.finished_stages import MODEL, PART

from pipeline import tracking
from pipeline.model import provenance
from pipeline.model.log_odds import Calibration
from pipeline.model.skill_records import Comparison, Estimate, FoldSkill, Metrics
from pipeline.runtime.resource_use import Effort
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from pipeline.tracking import folds

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations
PATHS = DatasetPaths("simulated")


def runs(**tags):
    client = tracking.connect()
    experiment = client.get_experiment_by_name("simulated").experiment_id
    all_runs = client.search_runs([experiment])
    return [run for run in all_runs if tags.items() <= run.data.tags.items()]


def test_recording_twice_makes_one_run(workspace: Path) -> None:
    dataset = finished_stages.write()
    first = tracking.record_pipeline(dataset)
    assert tracking.record_pipeline(dataset) == first
    (parent,), (child,) = runs(kind="pipeline"), runs(kind="model")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.info.run_id in parent.data.tags["mlflow.note.content"]


def test_a_run_names_its_model_its_results_and_its_data(workspace: Path) -> None:
    tracking.record_pipeline(finished_stages.write())
    (run,) = runs(kind="model")
    metrics = store.read_json(PATHS.evaluation(MODEL) / "metrics.json")
    best = metrics[PART]["best_baseline"]
    assert run.info.run_name.startswith(f"sensor_threat {run.data.tags['model_digest'][7:15]}, {PART}: log-loss ")
    assert run.info.run_name.endswith(f"against {best}")
    assert run.data.metrics[f"{PART}.log_loss_difference.high"] == metrics[PART]["log_loss_difference"]["high"]
    assert run.data.tags["simulated"] == "true"
    assert run.data.tags["marking.tlp"] == "AMBER"
    inputs = {entry.dataset.name: entry.dataset for entry in run.inputs.dataset_inputs}
    training, detections = inputs["simulated/sensor_threat"], inputs["simulated/detections"]
    assert json.loads(training.source)["sha256"] == store.digest(PATHS.features(MODEL))
    assert json.loads(detections.profile)["sources"]["sim_command_detections"]["quarantined"] == 12


def test_each_fold_has_one_run_below_its_models(workspace: Path) -> None:
    dataset = finished_stages.write()
    for _ in range(2):
        tracking.record_pipeline(dataset)
    (model,), children = runs(kind="model"), runs(kind="fold")
    assert len(children) == finished_stages.GROUPS
    held_out = store.read_table(PATHS.model(MODEL) / "heldout.parquet").to_pandas()
    for run in children:
        rows = held_out[held_out["fold"] == run.data.tags["fold"]]
        assert run.data.metrics["rows"] == len(rows) == finished_stages.ROWS / finished_stages.GROUPS
        loss = np.logaddexp(0, np.where(rows["label"] == 1, -1, 1) * rows["log_odds"]).mean()
        assert run.data.metrics["log_loss"] == pytest.approx(loss)
        assert run.info.run_name == f"{MODEL} without {run.data.tags['fold']}: log-loss {loss:.4f} on 50 rows"
        assert run.data.tags["mlflow.parentRunId"] == model.info.run_id
        assert run.data.tags["marking.tlp"] == "AMBER"
        assert run.info.status == "FINISHED"
    run = tracking.find_model(tracking.connect(), dataset, MODEL, model.data.tags["model_digest"])
    assert run.info.run_id == model.info.run_id


def test_a_fold_that_was_measured_anew_keeps_its_run(workspace: Path) -> None:
    dataset = finished_stages.write()
    tracking.record(dataset, MODEL)
    before = {run.info.run_id: run.data.metrics["log_loss"] for run in runs(kind="fold")}
    finished_stages.evaluate(overconfident=0.5)
    tracking.record(dataset, MODEL)
    after = {run.info.run_id: run.data.metrics["log_loss"] for run in runs(kind="fold")}
    assert after.keys() == before.keys()
    assert all(after[run] != before[run] for run in before)


def test_an_origins_run_records_its_fit_and_its_lead_over_the_baseline() -> None:
    days, calibration = ("2022-04-02", "2022-07-02"), Calibration(slope=0.9, intercept=-0.1)
    fit = fit_records.area_fit(origins=[fit_records.origin_fit(day, calibration=calibration) for day in days])
    first, second = folds.folds("area_risk_28d", fit, two_origins())
    assert first.name == "area_risk_28d origin 2022-04-02: log-loss 0.3133 on 50 rows"
    assert "roc_auc" not in first.metrics  # nothing happened
    assert (second.metrics["roc_auc"], second.metrics["log_loss_difference.high"]) == (0.5, -0.1)
    assert (second.metrics["rounds"], second.params["fit.calibration.slope"]) == (40.0, 0.9)
    assert second.params["best_baseline"] == "hawkes"


def two_origins() -> Metrics:
    shared = {"rows": 50, "brier": 0.1, "expected_positives": 10.0, "best_baseline": "hawkes", "rounds": 40}
    calm = FoldSkill(fold="2022-04-02", positives=0, log_loss=0.31326, best_baseline_log_loss=0.4, **shared)
    difference = Estimate(value=-0.2, low=-0.3, high=-0.1)
    busy = FoldSkill(
        fold="2022-07-02",
        positives=25,
        log_loss=0.8,
        best_baseline_log_loss=1.0,
        log_loss_difference=difference,
        roc_auc=0.5,
        pr_auc=0.5,
        **shared,
    )
    theatre = Comparison(
        rows=100,
        positives=25,
        models={},
        best_baseline="hawkes",
        log_loss_difference=difference,
        log_loss_differences={},
        folds=[calm, busy],
    )
    return Metrics(comparisons={"theatre": theatre}, operating_points={})


def test_the_card_in_mlflow_has_the_effort_of_the_fit_and_the_file_the_place_to_read_it(workspace: Path) -> None:
    dataset = finished_stages.write()
    text = f"# A card\n\n## Time and energy to train\n\n{provenance.EFFORT_ELSEWHERE}\n"
    store.write_bytes(text.encode(), PATHS.card(MODEL))

    def card() -> str:
        (run,) = runs(kind="model")
        return Path(tracking.connect().download_artifacts(run.info.run_id, f"card/{MODEL}.md")).read_text()

    tracking.record(dataset, MODEL)
    assert card() == text.replace(provenance.EFFORT_ELSEWHERE, provenance.effort({}, None))
    tracking.record(
        dataset, MODEL, effort=Effort(wall_s=12.34, cpu_s=11.86, joules=None, machine="x86_64, 2 processors")
    )
    assert "\n12.3 s by the clock, 11.9 s of processor time (x86_64, 2 processors)" in card()
    assert "Energy: not measured" in card()
    tracking.record(
        dataset, MODEL, effort=Effort(wall_s=1.0, cpu_s=1.0, joules=4321.4, machine="aarch64, 4 processors")
    )
    tracking.record(dataset, MODEL)  # a later stage, which fits nothing
    assert "Energy: 4,321 J" in card()
    (run,) = runs(kind="model")
    assert run.data.metrics["train.joules"] == 4321.4


def test_new_results_of_later_stages_replace_those_in_the_run(workspace: Path) -> None:
    dataset = finished_stages.write(noise=2.0)
    run_id = tracking.record(dataset, MODEL)
    name = runs(kind="model")[0].info.run_name
    file = PATHS.evaluation(MODEL) / "metrics.json"
    metrics = store.read_json(file)
    metrics[PART]["models"]["lightgbm"]["log_loss"] = 0.125
    store.write_json(metrics, file)
    assert tracking.record(dataset, MODEL) == run_id
    (run,) = runs(kind="model")
    assert run.data.metrics[f"{PART}.models.lightgbm.log_loss"] == 0.125
    assert "log-loss 0.1250" in run.info.run_name != name


def test_another_model_is_another_run_under_another_parent(workspace: Path) -> None:
    tracking.record_pipeline(finished_stages.write(seed=1))
    tracking.record_pipeline(finished_stages.write(seed=2))
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs(kind="model")}
    assert parents == {run.info.run_id for run in runs(kind="pipeline")}
    assert len(parents) == 2


def test_both_logged_models_have_a_signature_and_give_the_files_numbers(workspace: Path) -> None:
    import lightgbm
    import mlflow

    tracking.record(finished_stages.write(), MODEL)
    (run,) = runs(kind="model")
    logged = {m.name: m for m in map(mlflow.get_logged_model, (m.model_id for m in run.outputs.model_outputs))}
    assert set(logged) == {"booster", "onnx"}
    assert logged["onnx"].model_id == run.data.tags["onnx_model_id"]
    booster = mlflow.pyfunc.load_model(logged["booster"].model_uri)
    example = booster.input_example
    fitted = lightgbm.Booster(model_file=PATHS.model(MODEL) / "model.txt")
    assert np.allclose(booster.predict(example), fitted.predict(example), rtol=0, atol=1e-12)
    assert booster.metadata.signature.inputs.input_names() == ["voltage", "height"]
    field = mlflow.pyfunc.load_model(logged["onnx"].model_uri)
    # the tiny model: +0.5 and +1 above its thresholds
    assert field.predict({"features": np.array([[1, 1]], np.float32)})["log_odds"].ravel() == pytest.approx([1.5])


def test_nothing_fitted_is_no_run(workspace: Path) -> None:
    assert tracking.record("simulated", MODEL) is None
    assert tracking.record_pipeline("simulated") is None


def test_a_stage_is_tagged_with_what_dvc_locked(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    entry = (
        "stages:\n  train@simulated-area_risk_28d:\n    cmd: python -m pipeline.train\n    deps: [{path: a, md5: %s}]\n"
    )
    lock.write_text(entry % "0a")
    first = provenance.stage_digests("simulated", "area_risk_28d", lock)
    assert set(first) == {"dvc_stage.train"}
    lock.write_text(entry % "0b")
    assert provenance.stage_digests("simulated", "area_risk_28d", lock) != first
    assert provenance.stage_digests("simulated", "sensor_threat", lock) == {}


def test_an_experiment_in_a_copy_of_the_project_is_logged_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.connect().tracking_uri == f"sqlite:///{tmp_path.resolve() / tracking.DATABASE}"
