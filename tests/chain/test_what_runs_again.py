"""After a change of the finished chain: what runs again, and what MLflow shows."""

import json
import shutil
import sys

import yaml
from support.project import Project, contents, stages_run


def test_a_change_reruns_the_models_that_it_touches_from_the_first_stage_that_reads_it(project: Project) -> None:
    project.edit("params.yaml", "num_leaves: 7\n", "num_leaves: 6\n")  # of sensor_threat
    project.edit("params.yaml", "horizon_days: 7, cutoff_every_days: 7}", "horizon_days: 7, cutoff_every_days: 14}")
    assert stages_run(project.succeed("dvc", "repro")) == {
        "train@simulated-sensor_threat",
        "evaluate@simulated-sensor_threat",
        "export@simulated-sensor_threat",
        "features@simulated-area_risk_7d",
        "train@simulated-area_risk_7d",
        "evaluate@simulated-area_risk_7d",
        "export@simulated-area_risk_7d",
        "report@simulated",  # gathers the results of the models' evaluations
    }


def test_an_experiment_is_logged_beside_the_other_runs_and_leaves_the_folder_as_it_was(project: Project) -> None:
    for name in ("name", "email"):
        project.succeed("git", "config", f"user.{name}", "test@example.org")
    project.succeed("git", "add", "-A")
    project.succeed("git", "commit", "-q", "-m", "ran")
    before = contents(project)
    leaves = ("-S", "train.area_risk_28d.num_leaves=6")
    printed = project.succeed("dvc", "exp", "run", "--temp", "-n", "trial", *leaves, "train@simulated-area_risk_28d")
    assert stages_run(printed) == {"train@simulated-area_risk_28d"}
    assert contents(project) == before
    assert project.succeed("git", "status", "--porcelain") == ""
    script = (
        "from pipeline import tracking; client = tracking.connect(); "
        "runs = client.search_runs([client.get_experiment_by_name('simulated').experiment_id], "
        "\"tags.kind = 'model' and tags.model = 'area_risk_28d'\"); "
        "print(sorted((run.data.tags.get('dvc_experiment', ''), run.data.params['train.num_leaves']) for run in runs))"
    )
    present = yaml.safe_load((project.root / "params.yaml").read_text())["train"]["area_risk_28d"]["num_leaves"]
    logged = project.succeed(sys.executable, "-c", script).strip().splitlines()[-1]
    assert logged == f"[('', '{present}'), ('trial', '6')]"
    (reference,) = project.succeed("git", "for-each-ref", "--format=%(refname)", "refs/exps/**/trial").split()
    tried = project.succeed("git", "show", f"{reference}:params.yaml")
    expected = yaml.safe_load((project.root / "params.yaml").read_text())
    expected["train"]["area_risk_28d"]["num_leaves"] = 6
    assert yaml.safe_load(tried) == expected  # its layout is DVC's, but no value, comment or anchor is lost
    assert "# small trees on top of it" in tried
    assert "&magnetometer" in tried


def test_mlflow_shows_one_run_for_each_model_also_when_it_was_restored(project: Project) -> None:
    script = """
import json
from pipeline import tracking
client = tracking.connect()
runs = client.search_runs([client.get_experiment_by_name("simulated").experiment_id])
of_a_kind = {kind: [run for run in runs if run.data.tags["kind"] == kind] for kind in ("model", "fold")}
print(json.dumps({
    "models": sorted(run.data.tags["model"] for run in of_a_kind["model"]),
    "folds": sorted(run.info.run_name for run in of_a_kind["fold"]),
    "pictures": sorted(
        file.path for run in of_a_kind["model"] for file in client.list_artifacts(run.info.run_id, "evaluation")
        if file.path.endswith(".png")
    ),
    "fitted here": ["train.cpu_seconds" in run.data.metrics for run in of_a_kind["model"]],
}))
"""

    def shown() -> dict[str, list]:
        return json.loads(project.succeed(sys.executable, "-c", script).strip().splitlines()[-1])

    first = shown()
    assert first["models"] == ["area_risk_28d", "area_risk_7d", "sensor_threat"]
    assert sum(name.startswith("area_risk_28d origin 2022-") for name in first["folds"]) == 4
    assert sum(name.startswith("sensor_threat without ") for name in first["folds"]) > 1
    assert first["pictures"].count("evaluation/risk_maps.png") == 2
    assert first["pictures"].count("evaluation/effects.png") == 3
    assert all(first["fitted here"])
    (project.root / "mlflow.db").unlink()
    shutil.rmtree(project.root / "models/simulated")
    assert stages_run(project.succeed("dvc", "repro")) == set()  # restored from the cache, not fitted
    project.succeed(sys.executable, "-m", "pipeline.tracking", "simulated")
    project.succeed(sys.executable, "-m", "pipeline.tracking", "simulated")
    again = shown()
    assert not any(again["fitted here"])
    assert {**again, "fitted here": first["fitted here"]} == first
