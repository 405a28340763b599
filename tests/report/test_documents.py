"""The generated pages: every model and metric stands in them, and a missing one is an error."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from pipeline import params
from pipeline.model.catalogue import MEANINGS, Catalogue, Feature, Statistic
from pipeline.model.skill_records import Comparison, Estimate, Metrics, Skill, SubgroupSkill, write_metrics
from pipeline.report import documents, feature_page, results
from pipeline.runtime.errors import StageError
from pipeline.storage.marking import Marking
from pipeline.storage.paths import DatasetPaths

ROOT = Path(__file__).parents[2]


def skill(roc_auc: float, pr_auc: float, log_loss: float, ratio: float, pai: float) -> Skill:
    return Skill(
        roc_auc=roc_auc,
        pr_auc=pr_auc,
        log_loss=log_loss,
        brier=0.1,
        ece=0.01,
        observed_over_expected=ratio,
        hot_spots={"pai_1pct": pai},
    )


def compared(high: float = -0.0005) -> dict[str, Any]:
    difference = Estimate(value=-0.0014, low=-0.0024, high=high)
    return {
        "rows": 23544,
        "positives": 923,
        "models": {
            "lightgbm": skill(0.93, 0.41, 0.1176, 1.1, 16.474),
            "base_rate": skill(0.5, 0.05, 0.17, 0.9, 1.0),
            "decayed_counts": skill(0.9, 0.4, 0.119, 1.2, 15.0),
        },
        "best_baseline": "decayed_counts",
        "log_loss_difference": difference,
        "log_loss_differences": {"decayed_counts": difference, "base_rate": difference},
    }


def metrics(*, high: float = -0.0005, **more: Any) -> Metrics:
    return Metrics(comparisons={"theatre": Comparison(**compared(high), **more)}, operating_points={"top_1pct": 0.2})


def decayed(half_life: float, ring: int) -> Feature:
    name = f"ied_log1p_decay{half_life:g}d_ring{ring}"
    return Feature(name, "log1p(events)", "events", "incidents", "ied", "decayed", half_life_days=half_life, ring=ring)


def test_every_model_stands_on_a_line_with_its_metrics_and_the_interval() -> None:
    page = results.results({"simulated": {"area_risk_28d": metrics(oracle_share=0.865)}})
    assert "## simulated: area risk 28d" in page
    assert "| **lightgbm** | 0.9300 | 0.4100 | 0.1176 | 0.1000 | 0.0100 | 1.10 | 16.47 |  |" in page
    assert (
        "| decayed_counts | 0.9000 | 0.4000 | 0.1190 | 0.1000 | 0.0100 | 1.20 | 15.00 | -0.00140 [-0.00240, -0.00050] |"
        in page
    )
    assert "86.5% of the oracle's gain" in page
    # the lowest log-loss first
    assert page.index("**lightgbm** |") < page.index("decayed_counts |") < page.index("base_rate |")


def test_an_interval_that_includes_zero_is_marked() -> None:
    for high, marked in ((-0.0005, False), (0.0001, True)):
        page = results.results({"d": {"area_risk_28d": metrics(high=high)}})
        assert ("**the interval does not exclude zero**" in page) is marked


def test_the_subgroups_of_the_rows_are_listed() -> None:
    with_subgroup = metrics(subgroups={"cells_ever_hit": SubgroupSkill(**compared())})
    page = results.results({"d": {"area_risk_28d": with_subgroup}})
    assert "| cells ever hit | 23,544 | 923 | 1.10 | 0.1176 | decayed_counts | 0.1190 |" in page


def test_features_that_differ_in_numbers_stand_on_one_line() -> None:
    entries = [
        decayed(14.0, 0),
        decayed(56.0, 1),
        Feature("season_sine", "1", "sine of the year", "calendar", "season", "season"),
    ]
    catalogue = {entry.name: entry for entry in entries}
    page = feature_page.features({"area_risk_28d": {"simulated": catalogue, "colombia": catalogue}})
    (line,) = [line for line in page.splitlines() if "decay" in line]
    assert line == (
        "| ied | 2, from `ied_log1p_decay14d_ring0` | 14, 56 | 0, 1 | log1p(events) | "
        f"{MEANINGS['decayed']} | incidents | simulated, colombia |"
    )
    assert "| season | `season_sine` |  |  | 1 | sine of the year | calendar | simulated, colombia |" in page
    assert "3 in simulated, 3 in colombia." in page


def test_every_statistic_has_a_meaning() -> None:
    assert set(MEANINGS) == set(get_args(Statistic))


def test_a_dataset_that_was_not_run_is_an_error_and_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    names = list(yaml.safe_load((ROOT / "params.yaml").read_text())["datasets"])
    paths = DatasetPaths("simulated")
    for model in params.load(ROOT / "params.yaml").dataset("simulated").models:
        write_metrics(metrics(), paths.evaluation(model) / "metrics.json")
        catalogue = Catalogue(features=(decayed(14.0, 0),), marking=Marking("a", ("ALL",), "CLEAR"), rows={})
        catalogue.write(paths.catalogue(model))
    with pytest.raises(StageError, match=f"no such file; expected what `make DATASET={names[1]}` leaves"):
        documents.write([])
    assert not Path("docs").exists()
    documents.write(["simulated"])
    assert "## simulated: sensor threat" in Path("docs/results.md").read_text()
    assert "## sensor threat" in Path("docs/features.md").read_text()
