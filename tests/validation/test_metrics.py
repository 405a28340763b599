"""Every metric against numbers done by hand."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from pipeline.evaluate.comparison import compare
from pipeline.evaluate.grouped import over_groups
from pipeline.evaluate.hot_spots import gain_and_lift, hot_spot_skill
from pipeline.evaluate.plots import curve_points
from pipeline.params import Evaluate
from pipeline.validation.bootstrap import BlockDraws, mean_difference
from pipeline.validation.cumulative import CumulativeByGroup
from pipeline.validation.metrics import (
    UndefinedMetricError,
    calibration_bins,
    detection_at_false_alarms,
    expected_calibration_error,
    row_log_loss,
    skill,
    threshold_of_detection,
)

OUTCOME = np.array([False, False, True, True])
PROBABILITY = np.array([0.1, 0.4, 0.35, 0.8])
ONE_CUTOFF = np.zeros(4, "datetime64[us]")


def test_skill_by_hand() -> None:
    result = skill(OUTCOME, PROBABILITY, bins=2)
    assert result.roc_auc == pytest.approx(3 / 4)  # of the four pairs, 0.35 against 0.4 is wrong
    assert result.pr_auc == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert result.log_loss == pytest.approx(-np.log([0.9, 0.6, 0.35, 0.8]).mean())
    assert result.brier == pytest.approx((0.01 + 0.16 + 0.65**2 + 0.04) / 4)
    # bins {0.1, 0.35} and {0.4, 0.8}: predicted 0.225 and 0.6, observed one half in both
    assert result.ece == pytest.approx((0.275 + 0.1) / 2)
    assert result.observed_over_expected == pytest.approx(2 / 1.65)


def test_row_losses_average_to_the_log_loss_and_stay_finite() -> None:
    assert row_log_loss(OUTCOME, PROBABILITY).mean() == pytest.approx(skill(OUTCOME, PROBABILITY, bins=2).log_loss)
    assert np.isfinite(row_log_loss(np.array([True, False]), np.array([0.0, 1.0]))).all()


def test_calibration_bins_hold_equal_counts() -> None:
    predicted, observed, count = calibration_bins(OUTCOME, PROBABILITY, bins=2)
    np.testing.assert_allclose(predicted, [0.225, 0.6])
    np.testing.assert_allclose(observed, [0.5, 0.5])
    np.testing.assert_array_equal(count, [2, 2])


def test_perfect_calibration_has_no_error() -> None:
    outcome = np.array([True, False, False, False] * 50)
    assert expected_calibration_error(outcome, np.full(200, 0.25), bins=2) == pytest.approx(0)


@pytest.mark.parametrize(
    ("outcome", "probability", "message"),
    [
        ([True, True], [0.1, 0.2], "2 of 2 rows are positive"),
        ([False, False], [0.1, 0.2], "0 of 2 rows are positive"),
        ([True, False], [math.nan, 0.2], "got probability nan"),
        ([True, False], [1.5, 0.2], r"got probability 1\.5"),
    ],
)
def test_a_metric_that_is_not_defined_is_an_error(outcome: list[bool], probability: list[float], message: str) -> None:
    with pytest.raises(UndefinedMetricError, match=message):
        skill(np.array(outcome), np.array(probability), bins=2)


def test_fewer_rows_than_bins_is_an_error() -> None:
    with pytest.raises(UndefinedMetricError, match="4 rows for 10"):
        skill(OUTCOME, PROBABILITY, bins=10)


def test_detection_at_a_share_of_false_alarms() -> None:
    outcome = np.array([True, True, True, True, False, False, False, False])
    probability = np.array([0.9, 0.8, 0.7, 0.2, 0.75, 0.3, 0.1, 0.05])
    assert detection_at_false_alarms(outcome, probability, share=0.1) == 0.5  # none may alarm: above 0.75
    assert detection_at_false_alarms(outcome, probability, share=0.25) == 0.75
    assert detection_at_false_alarms(outcome, probability, share=0.5) == 1.0
    assert threshold_of_detection(outcome, probability, share=0.75) == 0.7
    assert threshold_of_detection(outcome, probability, share=0.76) == 0.2


def test_hit_rate_pai_and_pei_by_hand() -> None:
    # two cutoffs of ten cells; the two highest of each are searched
    score = np.tile(np.arange(10.0), 2)
    outcome = np.zeros(20, dtype=bool)
    outcome[[9, 3, 18, 19]] = True  # one of two caught, then two of two
    cutoffs = np.repeat(np.array([0, 1], "datetime64[us]"), 10)
    result = hot_spot_skill(outcome, score, cutoffs, shares=[0.2])
    assert result == {
        "hit_rate_20pct": 0.75,
        "pai_20pct": pytest.approx(3.75),
        "pei_20pct": 0.75,
        "observed_over_expected_20pct": pytest.approx(3 / 34),
    }


def test_pei_compares_with_the_best_choice_of_so_many_cells() -> None:
    outcome = np.array([True, True, True, False])
    result = hot_spot_skill(outcome, np.array([4.0, 3.0, 2.0, 1.0]), ONE_CUTOFF, shares=[0.25])
    assert result["hit_rate_25pct"] == pytest.approx(1 / 3)
    assert result["pei_25pct"] == 1.0


def test_equal_scores_share_the_hits() -> None:
    result = hot_spot_skill(OUTCOME, np.full(4, 0.5), ONE_CUTOFF, shares=[0.25])
    assert result["hit_rate_25pct"] == pytest.approx(0.25)
    assert result["pai_25pct"] == pytest.approx(1.0)


def test_the_order_of_the_rows_does_not_matter_to_hot_spots() -> None:
    random = np.random.default_rng(5)
    outcome, score = random.random(60) < 0.3, random.random(60)
    cutoffs = np.repeat(np.arange(3), 20).astype("datetime64[us]")
    mixed = random.permutation(60)
    result = hot_spot_skill(outcome, score, cutoffs, shares=[0.1])
    assert hot_spot_skill(outcome[mixed], score[mixed], cutoffs[mixed], shares=[0.1]) == result


def test_no_event_has_no_hit_rate() -> None:
    with pytest.raises(UndefinedMetricError, match="no event"):
        hot_spot_skill(np.zeros(4, dtype=bool), PROBABILITY, ONE_CUTOFF, shares=[0.25])


def test_gain_reaches_everything_when_everything_is_searched() -> None:
    gain, lift = gain_and_lift(OUTCOME, PROBABILITY, ONE_CUTOFF, shares=np.array([0.1, 0.25, 0.5, 1.0]))
    np.testing.assert_allclose(gain, [0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(lift, [2, 2, 1, 1])  # never less than one cell is searched: a quarter


def test_a_difference_between_blocks_is_wider_than_between_rows() -> None:
    random = np.random.default_rng(11)
    block = np.repeat(np.arange(20), 50)
    ours = random.normal(0, 1, 20)[block] + random.normal(0, 0.1, 1000)
    whole = mean_difference(ours, np.zeros(1000), block, samples=2000, seed=1)
    single = mean_difference(ours, np.zeros(1000), np.arange(1000), samples=2000, seed=1)
    assert whole.value == pytest.approx(ours.mean())
    assert whole.low < whole.value < whole.high
    # twenty independent means: about 1.96 standard errors of them on both sides
    means = ours.reshape(20, 50).mean(axis=1)
    assert whole.high - whole.low == pytest.approx(2 * 1.96 * means.std() / math.sqrt(20), rel=0.15)
    assert single.high - single.low < (whole.high - whole.low) / 3


def test_the_bootstrap_is_that_of_a_loop_over_samples() -> None:
    ours, theirs = np.array([1.0, 2.0, 3.0, 4.0, 10.0]), np.ones(5)
    blocks = np.array(["a", "a", "b", "b", "c"])
    result = mean_difference(ours, theirs, blocks, samples=200, seed=3)
    rows = [np.flatnonzero(blocks == name) for name in ("a", "b", "c")]
    counts = np.random.default_rng(3).multinomial(3, [1 / 3] * 3, size=200)
    means = []
    for count in counts:
        drawn = np.concatenate([rows[i] for i in range(3) for _ in range(count[i])])
        means.append((ours - theirs)[drawn].mean())
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_equal_models_differ_by_nothing() -> None:
    result = mean_difference(PROBABILITY, PROBABILITY, np.arange(4), samples=100, seed=1)
    assert (result.value, result.low, result.high) == (0, 0, 0)


def test_curves_are_what_a_loop_over_thresholds_finds() -> None:
    random = np.random.default_rng(2)
    probability = random.random(500).round(2)  # with ties
    outcome = random.random(500) < probability
    both = {"lightgbm": probability, "base_rate": np.full(500, 0.5)}
    thresholds = np.unique(probability)[::-1]
    alarmed = [probability >= threshold for threshold in thresholds]
    recall = np.array([(alarm & outcome).sum() / outcome.sum() for alarm in alarmed])
    precision = np.array([outcome[alarm].mean() for alarm in alarmed])
    false_alarms = np.array([(alarm & ~outcome).sum() / (~outcome).sum() for alarm in alarmed])
    pr, roc = curve_points.precision_recall(outcome, both), curve_points.roc(outcome, both)
    for row in pr.to_pylist():
        assert row["lightgbm"] == precision[np.argmax(recall >= row["recall"] - 1e-9)]
        assert row["base_rate"] == outcome.mean()
    for row in roc.to_pylist():
        allowed = recall[false_alarms <= row["false_alarm_share"] + 1e-9]
        assert row["lightgbm"] == max(allowed, default=0)
    assert (pr["recall"][-1].as_py(), roc["lightgbm"][-1].as_py()) == (1, 1)
    operating = curve_points.operating(outcome, both, area_m2=1000.0)
    clutter = int((~outcome).sum())
    rates = operating["false_alarms_per_m2"].to_numpy()
    assert (rates[0], rates[-1]) == (pytest.approx(1 / 1000), pytest.approx(clutter / 1000))
    at = detection_at_false_alarms(outcome, probability, share=rates[100] * 1000 / clutter)
    assert operating["lightgbm"][100].as_py() == at
    table = curve_points.reliability(outcome, both, bins=10)
    assert table["rows"].to_pylist() == [50] * 10
    assert table["predicted_base_rate"].to_pylist() == [0.5] * 10


def test_a_plot_shows_the_shipped_model_its_best_baseline_and_the_truth() -> None:
    all_of_them = dict.fromkeys(("oracle", "rings", "lightgbm"), PROBABILITY) | {"base_rate": np.full(4, 0.5)}
    draws = BlockDraws.of(np.arange(4), samples=100, seed=1)
    skills = {name: skill(OUTCOME, PROBABILITY, bins=2) for name in all_of_them}
    compared = dataclasses.replace(compare(OUTCOME, all_of_them, skills, draws), best_baseline="rings")
    assert list(curve_points.chosen(compared, all_of_them)) == ["lightgbm", "rings", "oracle"]


def settings(bins: int = 5) -> Evaluate:
    return Evaluate(
        area_shares=[],
        alarm_shares=[0.1],
        alarms_per_m2=[0.1],
        logistic_ridge=1.0,
        calibration_bins=bins,
        bootstrap_samples=200,
        seed=1,
    )


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=60).filter(
        lambda rows: len({outcome for outcome, _ in rows}) == 2
    )
)
def test_skill_is_what_scikit_learn_says(rows: list[tuple[bool, float]]) -> None:
    outcome, drawn = (np.array(column) for column in zip(*rows, strict=True))
    probability = np.clip(drawn, 1e-9, 1)
    measured = skill(outcome, probability, bins=1)
    oracles = {
        "roc_auc": metrics.roc_auc_score,
        "pr_auc": metrics.average_precision_score,
        "log_loss": metrics.log_loss,
        "brier": metrics.brier_score_loss,
    }
    for name, oracle in oracles.items():
        assert measured.figure(name) == pytest.approx(oracle(outcome, probability), rel=1e-9, abs=1e-12), name


def test_metrics_of_draws_are_those_of_the_repeated_rows() -> None:
    random = np.random.default_rng(2)
    probability = np.round(random.random(400), 1)  # with ties
    outcome = random.random(400) < probability
    times = random.integers(0, 4, (70, 400)).astype(np.float64)
    counts = CumulativeByGroup.of(outcome, probability, np.arange(400))
    clutter = times @ counts.clutter[-1]
    measured = {
        "roc_auc": counts.roc_auc(times),
        "pr_auc": counts.average_precision(times),
        "at_share": counts.detected(times, clutter, 0.1),
        "at_count": counts.detected(times, np.ones(70), 40.0),
        "at_none": counts.detected(times, np.ones(70), 0.0),
    }
    for k, weight in enumerate(times.astype(int)):
        repeated, happened = np.repeat(probability, weight), np.repeat(outcome, weight)
        whole = skill(happened, repeated, bins=1)
        expected = {
            "roc_auc": whole.roc_auc,
            "pr_auc": whole.pr_auc,
            "at_share": detection_at_false_alarms(happened, repeated, share=0.1),
            "at_count": detection_at_false_alarms(happened, repeated, share=40 / (~happened).sum()),
            "at_none": detection_at_false_alarms(happened, repeated, share=0.0),
        }
        assert {name: values[k] for name, values in measured.items()} == pytest.approx(expected)


def test_an_interval_over_groups_is_as_wide_as_the_groups_differ() -> None:
    random = np.random.default_rng(3)
    outcome = random.random(1200) < 0.5
    group = np.arange(1200) % 12
    draws = BlockDraws.of(group, samples=200, seed=1)
    even = np.where(outcome, 0.7, 0.3) + random.normal(0, 0.2, 1200).clip(-0.29, 0.29)
    uneven = np.where(group < 6, even, 0.5)  # half the groups cannot be told apart at all
    intervals = {
        name: over_groups(outcome, probability, draws, settings())["roc_auc"]
        for name, probability in {"even": even, "uneven": uneven}.items()
    }
    width = {name: interval.high - interval.low for name, interval in intervals.items()}
    assert width["uneven"] > 2 * width["even"] > 0
    one = over_groups(outcome, even, BlockDraws.of(np.zeros(1200), samples=200, seed=1), settings())
    assert one["roc_auc"].low == one["roc_auc"].high == pytest.approx(skill(outcome, even, bins=5).roc_auc)


def test_an_interval_over_groups_is_that_of_a_loop_over_draws() -> None:
    random = np.random.default_rng(5)
    group = np.repeat(np.arange(6), random.integers(20, 60, 6))
    probability = random.random(len(group)).round(2)
    outcome = random.random(len(group)) < probability
    draws = BlockDraws.of(group, samples=100, seed=3)
    intervals = over_groups(outcome, probability, draws, settings(bins=2), area_m2=500.0)
    del intervals["ece"]  # its bins have the edges of all rows
    by_name: dict[str, list[float]] = {}
    for times in draws.times.astype(int):
        rows = np.repeat(np.arange(len(group)), times[group])
        whole = skill(outcome[rows], probability[rows], bins=1)
        for name in ("roc_auc", "pr_auc", "log_loss", "brier"):
            by_name.setdefault(name, []).append(whole.figure(name))
        clutter = int((~outcome[rows]).sum())
        for name, share in {"pd_at_far_0.1": 0.1, "pd_at_alarms_per_m2_0.1": 50 / clutter}.items():
            at = detection_at_false_alarms(outcome[rows], probability[rows], share=share)
            by_name.setdefault(name, []).append(at)
    assert intervals.keys() == by_name.keys()
    for name, values in by_name.items():
        expected = np.quantile(values, [0.025, 0.975])
        assert (intervals[name].low, intervals[name].high) == pytest.approx(tuple(expected)), name
