"""metrics.json: what is written is read again, and a key that does not fit is an error that names it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.model.skill_records import (
    Comparison,
    Estimate,
    FoldSkill,
    Metrics,
    Skill,
    SubgroupSkill,
    metrics_of,
    read_metrics,
    write_metrics,
)
from pipeline.runtime.errors import StageError

DIFFERENCE = Estimate(value=-0.1, low=-0.2, high=0.0)


def skill(**more: object) -> Skill:
    return Skill(roc_auc=0.9, pr_auc=0.4, log_loss=0.1, brier=0.02, ece=0.01, observed_over_expected=1.1, **more)


@pytest.fixture
def metrics() -> Metrics:
    compared = {
        "rows": 100,
        "positives": 7,
        "models": {"lightgbm": skill(hot_spots={"hit_rate_1pct": 0.2, "hit_rate_0.5pct_within_2": 1.0})},
        "best_baseline": "base_rate",
        "log_loss_difference": DIFFERENCE,
        "log_loss_differences": {"base_rate": DIFFERENCE, "oracle": DIFFERENCE},
    }
    fold = FoldSkill(
        fold="2022-01-01",
        rows=100,
        positives=7,
        expected_positives=7.5,
        log_loss=0.1,
        brier=0.02,
        best_baseline="base_rate",
        best_baseline_log_loss=0.2,
    )
    theatre = Comparison(**compared, folds=[fold], subgroups={"cells_ever_hit": SubgroupSkill(**compared)})
    return Metrics(comparisons={"theatre": theatre}, operating_points={"top_1pct": 0.3})


def test_what_is_written_is_read_again(metrics: Metrics, tmp_path: Path) -> None:
    write_metrics(metrics, tmp_path / "metrics.json")
    assert read_metrics(tmp_path / "metrics.json") == metrics


def test_figures_stand_under_the_names_that_mlflow_shows(metrics: Metrics) -> None:
    data = metrics.to_json()
    ours = data["theatre"]["models"]["lightgbm"]
    assert (ours["hit_rate_1pct"], ours["roc_auc"]) == (0.2, 0.9)
    assert data["operating_points"] == {"top_1pct": 0.3}
    assert "groups" not in data["theatre"]  # only alarms have them


def test_a_figure_is_found_by_name_and_a_name_that_is_none_is_an_error(metrics: Metrics) -> None:
    ours = metrics.comparisons["theatre"].shipped
    assert (ours.figure("hit_rate_1pct"), ours.figure("brier")) == (0.2, 0.02)
    assert ours.figure("pai_5pct") is ours.figure("roc_auc_worst_group") is None
    with pytest.raises(KeyError, match="hit_rat_1pct: no metric"):
        ours.figure("hit_rat_1pct")


def test_the_oracle_is_no_baseline(metrics: Metrics) -> None:
    assert metrics.comparisons["theatre"].against_baselines == {"base_rate": DIFFERENCE}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data["theatre"].update(subsets={}), "theatre.subsets: unknown key"),
        (lambda data: data["theatre"].pop("rows"), "theatre.rows: missing"),
        (lambda data: data["theatre"]["models"]["lightgbm"].update(hit_rat_1pct=1.0), "lightgbm.hit_rat_1pct: unknown"),
        (lambda data: data["theatre"]["folds"][0].update(logloss=1.0), "theatre.folds.0.logloss: unknown key"),
        (lambda data: data.update(operating_points={"top_1pct": "high"}), "operating_points.top_1pct: got 'high'"),
        (lambda data: data.pop("operating_points"), "operating_points: missing"),
        (lambda data: data.update(teatre={}), "teatre.rows: missing"),
    ],
)
def test_a_key_that_does_not_fit_is_named_with_its_file(
    metrics: Metrics, spoil: Callable[[dict], object], message: str
) -> None:
    data = copy.deepcopy(json.loads(json.dumps(metrics.to_json())))
    spoil(data)
    with pytest.raises(StageError, match=r"^some/metrics\.json: ") as error:
        metrics_of(data, where="some/metrics.json")
    assert message in str(error.value)
