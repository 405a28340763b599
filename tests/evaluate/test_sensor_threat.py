"""Evaluation of the sensor model: whole groups held out for every model, and thresholds that keep their promise."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from support import fit_records

from pipeline.evaluate import oracle, sensor_baselines, sensor_threat, uncertainty
from pipeline.evaluate.grouped import group_skill
from pipeline.model.skill_records import Metrics
from pipeline.params import Evaluate, Measured
from pipeline.report.sensor_results import sensor_tables
from pipeline.runtime.errors import StageError
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import UndefinedMetricError

SETTINGS = Evaluate(
    area_shares=[0.01],
    alarm_shares=[0.05, 0.1],
    logistic_ridge=1.0,
    alarms_per_m2=[0.1],
    calibration_bins=5,
    bootstrap_samples=100,
    seed=7,
)
ROWS = 360
FIT = fit_records.sensor_fit()
MEASURED = {
    name: Measured(unit="1", low=-4.0, high=4.0, required=name == "voltage", meaning=name)
    for name in ("voltage", "emi")
}


def made() -> tuple[pa.Table, pa.Table]:
    """Return rows and held-out predictions of six soils, with one alarm of unknown outcome."""
    random = np.random.default_rng(8)
    voltage = random.normal(size=ROWS)
    outcome = random.random(ROWS) < expit(voltage**2 - 1)
    emi = np.where(random.random(ROWS) < 0.3, np.nan, random.normal(size=ROWS))
    group = [f"soil {n % 6}" for n in range(ROWS)]
    name = [f"d{n:04d}" for n in range(ROWS)]
    label = pa.array([None if n == 5 else int(outcome[n]) for n in range(ROWS)], pa.int8())
    rows = pa.table(
        {
            "detection_id": name,
            "record_id": [f"r{n}" for n in range(ROWS)],
            "group_id": group,
            "label": label,
            "voltage": voltage.astype(np.float32),
            "emi": emi.astype(np.float32),
        }
    )
    predicted = pa.table(
        {
            "detection_id": name,
            "group_id": group,
            "fold": group,
            "log_odds": voltage**2 - 1,
            "interval_low": voltage**2 - 2,
            "interval_high": voltage**2,
            "log_odds_random_split": 1.1 * voltage**2 - 1,
            "log_odds_without_emi": 0.5 * voltage**2 - 1 + random.normal(size=ROWS),
        },
    ).filter(label.is_valid())
    return rows, predicted


def evaluate(rows: pa.Table, predicted: pa.Table, truth: pa.Table | None = None) -> Metrics:
    return sensor_threat.evaluate(
        rows,
        predicted,
        FIT,
        SETTINGS,
        measured=MEASURED,
        optional=[["emi"]],
        group_area_m2=300.0,
        name="magnetometer",
        truth=truth,
    ).metrics


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return evaluate(*made())


@pytest.fixture(scope="module")
def written(metrics: Metrics) -> dict:
    return metrics.to_json()


def test_metrics_have_the_keys_that_machines_read(written: dict) -> None:
    part = written["magnetometer"]
    assert part["rows"] == ROWS - 1
    assert set(part["models"]) == {
        "lightgbm",
        "base_rate",
        "logistic_regression",
        "svm",
        "extra_trees",
        "gaussian_processes",
    }
    for skill in part["models"].values():
        assert {"roc_auc", "roc_auc_worst_group", "pr_auc", "log_loss", "brier", "ece", "pd_at_far"} <= set(skill)
    ours = part["models"]["lightgbm"]
    assert ours["roc_auc_worst_group"] <= ours["roc_auc"] + 0.05
    assert ours["pd_at_far"]["0.05"] <= ours["pd_at_far"]["0.1"] <= 1
    assert part["groups"] == 6
    for metric in ("roc_auc", "pr_auc", "log_loss", "brier"):
        assert ours["intervals"][metric]["low"] < ours[metric] < ours["intervals"][metric]["high"]
    assert part["without"]["emi"]["log_loss"] > ours["log_loss"]
    # beside the grouped figures, and nowhere where a gate or a table would take it for one of them
    assert set(part["random_split"]) == {"flattering", "skill"}
    assert "subgroups" not in part
    assert "fusion" not in part


def test_the_page_of_results_shows_what_flatters_and_what_is_missing(metrics: Metrics, written: dict) -> None:
    comparison = metrics.comparisons["magnetometer"]
    lines = sensor_tables(comparison)
    for name in ("whole groups held out", "the same, without emi", "random split: **flattering**"):
        assert len([line for line in lines if line.startswith(f"| {name} |")]) == 1
    skill = written["magnetometer"]["without"]["emi"]
    interval = skill["intervals"]["roc_auc"]
    shown = f"| the same, without emi | {skill['roc_auc']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}] |"
    assert any(line.startswith(shown) for line in lines)
    nothing = {"random_split": None, "intervals": None, "novelty": None}
    assert sensor_tables(dataclasses.replace(comparison, **nothing)) == []


def test_intervals_and_false_flags_are_counted_by_group(metrics: Metrics, written: dict) -> None:
    intervals, flags = written["magnetometer"]["intervals"], written["magnetometer"]["novelty"]
    assert "oracle_held" not in intervals
    # the outcomes were drawn from the middle of the intervals
    assert intervals["bins_held"] == intervals["groups_held"] == 1
    assert flags["false_flags"]["low"] <= flags["false_flags"]["value"] <= flags["worst_group"]
    assert flags["false_flags"]["value"] < 0.06
    shifted = flags["perturbed"]["one input off by five deviations"]
    assert 0.3 < shifted["novel"]["value"] <= shifted["novel_or_out_of_range"] <= 1
    page = "\n".join(sensor_tables(metrics.comparisons["magnetometer"]))
    assert f"| sign reversed | {flags['perturbed']['sign reversed']['novel']['value']:.3f} [" in page


def test_intervals_that_lie_beside_the_truth_hold_none_of_it() -> None:
    log_odds, outcome = np.linspace(-2, 2, 200), np.arange(200) % 2 == 0
    draws = BlockDraws.of(np.arange(200) % 4, samples=100, seed=7)
    beside = uncertainty.intervals(
        log_odds, log_odds + 1, outcome, log_odds, draws, bins=5, level=0.9, truth=log_odds + 2
    )
    assert beside.oracle_held is not None
    assert beside.oracle_held.value == 0
    assert beside.mean_width == pytest.approx((expit(log_odds + 1) - expit(log_odds)).mean())
    assert beside.bins_held < 1


def test_detection_at_false_alarms_per_square_metre_is_that_share_of_the_clutter() -> None:
    outcome = np.array([True, False, True, False, True, False, True, False])
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    group = np.array(list("aabbaabb"))
    rates = dataclasses.replace(SETTINGS, alarms_per_m2=[0.05, 0.1, 0.2], calibration_bins=2)
    draws = BlockDraws.of(group, samples=100, seed=7)
    skill = group_skill(outcome, probability, draws, rates, group_area_m2=10.0)
    # 20 m² in two groups: one, two and four false alarms are let pass
    assert skill.pd_at_alarms_per_m2 == {"0.05": 0.5, "0.1": 0.75, "0.2": 1.0}
    assert group_skill(outcome, probability, draws, rates).pd_at_alarms_per_m2 is None


def test_operating_points_detect_the_share_in_their_name(written: dict) -> None:
    rows, predicted = made()
    known = rows.filter(rows["label"].is_valid())
    hazard = known["label"].to_numpy() == 1
    probability = expit(predicted["log_odds"].to_numpy())
    for policy, threshold in written["operating_points"].items():
        share = int(policy.removeprefix("pd_")) / 100
        assert (probability[hazard] >= threshold).mean() >= share
        assert (probability[hazard] > threshold).mean() < share


def test_baselines_have_not_seen_the_fold_that_they_score() -> None:
    rows, _ = made()
    known = rows.filter(rows["label"].is_valid())
    outcome, fold = known["label"].to_numpy() == 1, np.array(known["group_id"].to_pylist())
    inputs = np.column_stack([known[name].to_numpy().astype(np.float64) for name in ("voltage", "emi")])
    mask = fold == "soil 3"
    before, after = (
        sensor_baselines.probabilities(inputs, y, fold, fold, seed=7)
        for y in (outcome, np.where(mask, ~outcome, outcome))
    )
    for name, probability in before.items():
        np.testing.assert_array_equal(probability[mask], after[name][mask], err_msg=name)
        assert not np.array_equal(probability[~mask], after[name][~mask]), name
        assert ((probability >= 0) & (probability <= 1)).all(), name
    assert before["base_rate"][mask][0] == pytest.approx(outcome[~mask].mean())


def test_baselines_that_can_bend_find_what_a_line_cannot() -> None:
    rows, _ = made()
    known = rows.filter(rows["label"].is_valid())
    outcome, fold = known["label"].to_numpy() == 1, np.array(known["group_id"].to_pylist())
    inputs = known["voltage"].to_numpy().astype(np.float64)[:, None]
    baselines = sensor_baselines.probabilities(inputs, outcome, fold, fold, seed=7)
    area = {name: roc_auc_score(outcome, probability) for name, probability in baselines.items()}
    for name in ("svm", "extra_trees", "gaussian_processes"):
        assert area[name] > max(area["logistic_regression"], 0.5) + 0.1, name


def test_the_worst_group_is_the_one_whose_alarms_are_ranked_worst() -> None:
    outcome = np.array([True, False, True, False, True, True])
    probability = np.array([0.9, 0.1, 0.2, 0.8, 0.5, 0.5])
    group = np.array(["good", "good", "bad", "bad", "one outcome", "one outcome"])
    assert sensor_threat.roc_auc_by_group(outcome, probability, group) == {"good": 1.0, "bad": 0.0}
    with pytest.raises(UndefinedMetricError, match="no group"):
        sensor_threat.roc_auc_by_group(outcome[4:], probability[4:], group[4:])


def test_predictions_of_other_detections_are_refused() -> None:
    rows, predicted = made()
    with pytest.raises(StageError, match="expected the same detections"):
        evaluate(rows, predicted.slice(1))


def test_the_oracle_is_looked_up_by_record() -> None:
    rows = pa.table({"record_id": ["b", "a"]})
    truth = pa.table({"record_id": ["a", "b", "c"], "log_odds": [0.0, 2.0, 4.0]})
    np.testing.assert_allclose(oracle.of_alarms(rows, truth), expit([2.0, 0.0]))
    with pytest.raises(StageError, match="does not know alarm a"):
        oracle.of_alarms(rows, truth.slice(1))
