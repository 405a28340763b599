"""The whole chain on the small theatre: it repeats byte for byte, and a second run does nothing."""

import json
import shutil
import sys
from pathlib import Path

import yaml
from support.project import Project, contents, stages_run

from pipeline.chain import lock_file


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
