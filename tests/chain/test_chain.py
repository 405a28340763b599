"""The whole chain on the small theatre: it repeats byte for byte, and reruns no more than a change asks for."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from support.project import Project

from pipeline.chain import lock_file

OUTPUTS = ("data", "models", "reports")


@pytest.fixture
def project(small_chain: Project, tmp_path: Path) -> Project:
    """Return a copy of the finished chain that the test may change."""
    shutil.copytree(small_chain.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def contents(project: Project) -> dict[str, bytes]:
    return {
        path.relative_to(project.root).as_posix(): path.read_bytes()
        for folder in OUTPUTS
        for path in sorted((project.root / folder).rglob("*"))
        if path.is_file()
    }


def stages_run(printed: str) -> set[str]:
    return set(re.findall(r"Running stage '(.+?)':", printed))


def test_deleting_everything_and_repeating_one_stage_at_a_time_gives_the_same_bytes(project: Project) -> None:
    lock_path = project.root / "dvc.lock"
    before, lock = contents(project), lock_path.read_text()
    lock_path.unlink()
    for folder in (*(f"{name}/simulated" for name in ("models", "reports")), ".dvc/cache"):
        shutil.rmtree(project.root / folder)
    for name in ("raw", "truth", "staging", "tables", "quarantine", "features"):
        shutil.rmtree(project.root / "data" / name)
    assert "acquire@simulated" in stages_run(project.succeed("dvc", "repro"))
    assert lock_file.in_order(lock_path.read_text()) == lock
    after = contents(project)
    assert {name for name in before if before[name] != after.get(name)} == set()
    assert set(after) == set(before)


def test_a_second_run_does_nothing(project: Project) -> None:
    printed = project.succeed("dvc", "repro")
    assert stages_run(printed) == set()
    assert "Data and pipelines are up to date" in printed


def test_a_second_make_does_nothing_and_leaves_the_lock_as_it_is(project: Project) -> None:
    lock_path = project.root / "dvc.lock"
    entries = lock_path.read_text().split("\nstages:\n")
    unsorted = yaml.safe_load(lock_path.read_text())
    unsorted["stages"] = dict(reversed(unsorted["stages"].items()))
    for lock in ("\nstages:\n".join(entries), yaml.safe_dump(unsorted, sort_keys=False)):
        lock_path.write_text(lock)
        printed = project.succeed(sys.executable, "-m", "pipeline.chain", "--workers", "2")
        assert stages_run(printed) == set()
        assert "Data and pipelines are up to date" in printed
        assert lock_path.read_text() == lock


def test_a_changed_parameter_reruns_that_model_only(project: Project) -> None:
    project.edit("params.yaml", "area_risk_7d: {<<: *area_risk,", "area_risk_7d: {<<: *area_risk, num_leaves: 6,")
    ran = stages_run(project.succeed("dvc", "repro"))
    assert ran == {
        "train@simulated-area_risk_7d",
        "evaluate@simulated-area_risk_7d",
        "export@simulated-area_risk_7d",
        "report@simulated",  # gathers the results of the models' evaluations
    }


def test_a_changed_horizon_reruns_that_model_only(project: Project) -> None:
    project.edit("params.yaml", "horizon_days: 7, cutoff_every_days: 7}", "horizon_days: 7, cutoff_every_days: 14}")
    assert stages_run(project.succeed("dvc", "repro")) == {
        "features@simulated-area_risk_7d",
        "train@simulated-area_risk_7d",
        "evaluate@simulated-area_risk_7d",
        "export@simulated-area_risk_7d",
        "report@simulated",
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


def test_the_metrics_are_there_for_machines_and_for_dvc(small_chain: Project) -> None:
    metrics = json.loads((small_chain.root / "reports/simulated/metrics.json").read_text())
    area = metrics["area_risk_28d"]["theatre"]
    assert {"rows", "positives", "models", "best_baseline", "log_loss_difference"} <= set(area)
    for skill in (
        area["models"]["lightgbm"],
        *(part["models"]["lightgbm"] for part in metrics["sensor_threat"].values()),
    ):
        assert {"roc_auc", "pr_auc", "log_loss", "ece"} <= set(skill)
    assert "reports/simulated/metrics.json" in small_chain.succeed("dvc", "metrics", "show", "--json")


def test_the_plots_open(small_chain: Project, tmp_path: Path) -> None:
    printed = small_chain.succeed("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    assert "failed" not in printed.lower()
    assert "reliability" in (tmp_path / "plots/index.html").read_text()


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
