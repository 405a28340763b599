"""Choosing a dataset changes three values of params.yaml and not a character more."""

from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from pipeline.runtime.errors import StageError
from pipeline.select_dataset import choose

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text()


def test_only_the_run_section_changes() -> None:
    chosen = choose(TEXT, dataset="elsewhere", models=["area_risk_28d"], cut="sha256:0a1b")
    assert yaml.safe_load(chosen)["run"] == {"dataset": "elsewhere", "models": ["area_risk_28d"], "cut": "sha256:0a1b"}
    changed = [(a, b) for a, b in zip(TEXT.splitlines(), chosen.splitlines(), strict=True) if a != b]
    assert len(changed) <= 3
    before, after = yaml.safe_load(TEXT), yaml.safe_load(chosen)
    assert {**before, "run": None} == {**after, "run": None}


def test_choosing_back_restores_the_file() -> None:
    run = yaml.safe_load(TEXT)["run"]
    elsewhere = choose(TEXT, dataset="elsewhere", models=["area_risk_28d"], cut="sha256:0a1b")
    assert choose(elsewhere, **run) == TEXT


def test_a_file_that_an_experiment_has_rewritten_can_be_chosen_in(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(TEXT)
    apply_overrides(file, ["train.area_risk_28d.num_leaves=6"])  # as `dvc exp run -S` does
    rewritten = file.read_text()
    assert "  models:\n  - " in rewritten
    chosen = choose(rewritten, dataset="elsewhere", models=["area_risk"], cut="none")
    expected = yaml.safe_load(TEXT)
    expected["run"] = {"dataset": "elsewhere", "models": ["area_risk"], "cut": "none"}
    expected["train"]["area_risk_28d"]["num_leaves"] = 6
    assert yaml.safe_load(chosen) == expected


def test_a_file_without_the_section_is_refused() -> None:
    with pytest.raises(StageError, match=r"run\.dataset is missing"):
        choose("datasets: {}\n", dataset="simulated", models=[], cut="none")
