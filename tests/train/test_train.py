"""Fits: the blocks of time, what a model says, and that the same rows give the same bytes."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from support.area_case import ROLLING, TASK

from pipeline.model import loglinear
from pipeline.model.fitted import Columns
from pipeline.params import AreaBoosting, SensorBoosting
from pipeline.runtime.errors import StageError
from pipeline.storage import records
from pipeline.storage.marking import Marking
from pipeline.train import area_risk, boosting, sensor_threat
from pipeline.validation import origins, rolling
from threat_scorer.scoring.features import assemble

BOOSTING = {
    "baseline_ridge": 1.0,
    "num_leaves": 4,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "lambda_l2": 1.0,
    "feature_fraction": 0.8,
    "seed": 7,
}
AREA = AreaBoosting(**BOOSTING, rounds=[10, 40], calibration_blocks=2, most_negatives=10_000)
SENSOR = SensorBoosting(
    **BOOSTING, max_rounds=60, early_stopping_rounds=10, folds=6, tuning_folds=3, interval_level=0.9, false_flags=0.05
)
COLUMNS = Columns(names=("a", "b", "c"), linear=("a", "b"))


def made(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return features and outcomes: linear in a and b, a step in c, which is missing in a third of the rows."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, 3)).astype(np.float32)
    log_odds = -1 + matrix[:, 0] - 0.5 * matrix[:, 1] + 2 * (matrix[:, 2] > 0.5)
    matrix[random.random(rows) < 1 / 3, 2] = np.nan
    return matrix, random.random(rows) < expit(log_odds)


def area_table(seed: int = 1) -> pa.Table:
    """Return rows of the area model: 30 cells at every cutoff of the task."""
    cutoffs = np.repeat(origins.cutoffs_of(ROLLING), 30)
    matrix, outcome = made(len(cutoffs), seed)
    return pa.table(
        {
            "cutoff": pa.array(cutoffs, pa.timestamp("us", "UTC")),
            "cell": [f"cell{n % 30:02d}" for n in range(len(cutoffs))],
            "label": pa.array(outcome.astype(np.int8)),
            "trust": pa.array(np.where(outcome, 0.8, np.nan), pa.float32(), from_pandas=True),
            **{name: matrix[:, j] for j, name in enumerate(COLUMNS.names)},
        }
    )


def origins_of(table: pa.Table) -> list[origins.Origin]:
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    return origins.rolling_origins(cutoffs, ROLLING, calibration_blocks=AREA.calibration_blocks)


def test_every_model_learns_from_labels_that_end_before_the_rows_that_it_predicts() -> None:
    cutoffs = origins.cutoffs_of(ROLLING)
    rolled = origins.rolling_origins(cutoffs, ROLLING, calibration_blocks=2)
    horizon, until = np.timedelta64(28, "D"), np.datetime64("2021-07-01")
    assert [str(origin.at)[:10] for origin in rolled] == [
        "2020-09-11",
        "2020-11-06",
        "2021-01-01",
        "2021-02-26",
        "2021-04-23",
    ]
    assert [origin.tested for origin in rolled] == [False, False, True, True, True]
    for origin in rolled:
        assert (cutoffs[origin.train] + horizon).max() <= origin.at <= cutoffs[origin.block].min()
        assert (cutoffs[origin.block] + horizon).max() <= until
    tested = np.sum([origin.block for origin in rolled if origin.tested], axis=0)
    known = cutoffs + horizon <= until
    np.testing.assert_array_equal(tested, (known & (cutoffs >= np.datetime64("2021-01-01"))).astype(int))


def test_calibration_rows_were_known_at_the_origin_and_unseen_by_the_model_that_predicted_them() -> None:
    cutoffs = origins.cutoffs_of(ROLLING)
    rolled = origins.rolling_origins(cutoffs, ROLLING, calibration_blocks=2)
    for k in (2, 3, 4):
        rows = origins.calibration_rows(origins.labels_until(cutoffs, ROLLING), rolled, k, calibration_blocks=2)
        assert cutoffs[rows].min() >= rolled[k - 2].at
        assert (cutoffs[rows] + np.timedelta64(28, "D")).max() <= rolled[k].at
        assert not any((rows & origin.block & origin.train).any() for origin in rolled[k - 2 : k])


def test_too_few_cutoffs_are_refused() -> None:
    with pytest.raises(StageError, match=r"origin 2020-07-17.*0 rows to learn from and 4 to predict"):
        origins.rolling_origins(origins.cutoffs_of(TASK), TASK, calibration_blocks=3)


def test_blocks_without_events_are_refused() -> None:
    table = area_table()
    moments = table["cutoff"].to_numpy().astype("datetime64[us]")
    calibrating = (moments >= np.datetime64("2020-09-11")) & (moments < np.datetime64("2021-01-01"))
    label = np.where(calibrating, 0, table["label"].to_numpy()).astype(np.int8)
    quiet = table.set_column(2, "label", pa.array(label))
    with pytest.raises(StageError, match=r"2021-01-01.*: 0 of the \d+ rows of the 2 blocks before it are positive"):
        area_risk.train(quiet, COLUMNS, ROLLING, AREA)


def test_no_outcome_after_an_origin_changes_the_predictions_of_its_model() -> None:
    table = area_table()
    fit, held_out, _ = area_risk.train(table, COLUMNS, ROLLING, AREA)
    for k, origin in enumerate(origins_of(table)):
        moments = table["cutoff"].to_numpy().astype("datetime64[us]")
        later = moments + np.timedelta64(28, "D") > origin.at
        label = table["label"].to_numpy().copy()
        label[later] = 1 - label[later]
        other, changed, _ = area_risk.train(table.set_column(2, "label", pa.array(label)), COLUMNS, ROLLING, AREA)
        if not origin.tested:
            continue
        until_next = held_out["cutoff"].to_numpy().astype("datetime64[us]") < origin.at + np.timedelta64(56, "D")
        before, after = (rows["log_odds"].to_numpy()[until_next] for rows in (held_out, changed))
        np.testing.assert_array_equal(before, after, err_msg=f"{k}: {origin.at}")
    assert fit.model.booster.model_to_string() == other.model.booster.model_to_string()
    assert (fit.model.baseline, fit.model.calibration) == (other.model.baseline, other.model.calibration)


def test_the_shipped_model_is_that_of_the_last_origin() -> None:
    table = area_table()
    fit, held_out, calibration = area_risk.train(table, COLUMNS, ROLLING, AREA)
    last = origins_of(table)[-1]
    rows = held_out.filter(pa.compute.equal(held_out["fold"], "2021-04-23"))
    np.testing.assert_allclose(fit.model.log_odds(COLUMNS.of(table)[last.block]), rows["log_odds"].to_numpy())
    assert set(calibration["fold"].to_pylist()) == {"calibration"}
    assert calibration["cutoff"].to_pylist()[-1].date() <= date(2020, 12, 4)


def test_reports_that_are_trusted_less_teach_less_and_all_alike_teach_as_if_not_weighed() -> None:
    table = area_table()
    a = table["a"].to_numpy()
    trust = np.where(table["label"].to_numpy() == 1, np.where(a > 0, 0.2, 0.9), np.nan)
    doubted = table.set_column(3, "trust", pa.array(trust, pa.float32(), from_pandas=True))
    unjudged = table.set_column(3, "trust", pa.nulls(table.num_rows, pa.float32()))
    fits = (area_risk.train(rows, COLUMNS, ROLLING, AREA)[0] for rows in (table, unjudged, doubted))
    alike, plain, other = (fit.model for fit in fits)
    assert alike.booster.model_to_string() == plain.booster.model_to_string()
    assert alike.baseline == plain.baseline
    assert other.baseline.weights["a"] < alike.baseline.weights["a"] - 0.3


def test_trees_learn_less_from_rows_that_weigh_less() -> None:
    matrix, outcome = made(4000)
    doubted = np.where(outcome & (matrix[:, 2] > 0.5), 0.2, 1.0)
    steps = []
    for weights in (None, doubted):
        trees = boosting.fit(matrix, outcome, COLUMNS, AREA, rounds=40, weights=weights).booster
        below, above = trees.predict(np.array([[0, 0, 0], [0, 0, 1]], dtype=np.float32), raw_score=True)
        steps.append(above - below)
    assert steps[1] < steps[0] - 0.5


def test_the_same_rows_give_the_same_bytes() -> None:
    (first, held_out, _), (second, again, _) = (area_risk.train(area_table(), COLUMNS, ROLLING, AREA) for _ in range(2))
    assert first.model.booster.model_to_string() == second.model.booster.model_to_string()
    assert held_out.equals(again)


def test_log_odds_are_the_parts_that_the_record_names() -> None:
    table = area_table()
    fit, held_out, _ = area_risk.train(table, COLUMNS, ROLLING, AREA)
    found = records.to_json(fit.record(features_digest="sha256:0", marking=Marking("TEST", ("ALL",), "CLEAR")))
    tested = table.filter(pa.array(origins_of(table)[-1].block))
    held_out = held_out.filter(pa.compute.equal(held_out["fold"], "2021-04-23"))
    x = COLUMNS.of(tested).astype(np.float64)
    weights = found["baseline"]["weights"]
    assert list(weights) == ["a", "b"]
    assert all(float(np.float32(weight)) == weight for weight in weights.values())
    baseline = found["baseline"]["intercept"] + x[:, :2] @ np.array(list(weights.values()))
    trees = fit.model.booster.predict(x, raw_score=True, num_iteration=found["best_iteration"])
    line = found["calibration"]
    expected = line["slope"] * (baseline + trees) + line["intercept"]
    np.testing.assert_allclose(held_out["log_odds"].to_numpy(), expected, rtol=1e-9)
    assert found["base_rate"] == pytest.approx(found["positives"] / found["rows"])


def test_a_draw_of_the_rows_without_an_event_stands_for_all_of_them() -> None:
    outcome = made(20_000)[1]
    train = np.arange(20_000) < 15_000
    rows, count = rolling.thinned(train, outcome, most_negatives=2_000, seed=7)
    assert (~outcome[rows]).sum() == 2_000
    assert outcome[rows].sum() == outcome[train].sum()
    assert count.sum() == pytest.approx(15_000)
    assert train[rows].all()
    matrix = made(20_000)[0][:, :2]
    drawn = loglinear.fit(["a", "b"], matrix[rows], outcome[rows], weights=count)
    every = loglinear.fit(["a", "b"], matrix[train], outcome[train])
    assert drawn.weights["a"] == pytest.approx(every.weights["a"], rel=0.1)
    assert drawn.intercept == pytest.approx(every.intercept, abs=0.1)


def test_trees_add_what_the_baseline_cannot_say() -> None:
    (matrix, outcome), (unseen, happened) = made(4000), made(4000, seed=2)
    model = boosting.fit(matrix, outcome, COLUMNS, AREA, rounds=40)
    loss = {}
    for name, log_odds in {
        "baseline": model.baseline.log_odds(COLUMNS.of_baseline(unseen)),
        "model": model.log_odds(unseen),
    }.items():
        loss[name] = np.logaddexp(0, np.where(happened, -log_odds, log_odds)).mean()
    assert loss["model"] < loss["baseline"] - 0.01


def test_trees_split_on_no_column_that_is_the_baselines_alone() -> None:
    matrix, outcome = made(2000)
    splits_on = {}
    for only_linear in ((), ("a",)):
        columns = replace(COLUMNS, only_linear=only_linear)
        model = boosting.fit(matrix, outcome, columns, AREA, rounds=30)
        splits_on[only_linear] = dict(zip(columns.names, model.booster.feature_importance(), strict=True))
    assert splits_on[()]["a"] > 0
    assert splits_on[("a",)]["a"] == 0 < splits_on[("a",)]["c"]


def test_calibration_lines_log_odds_up_with_what_happened() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(-1, 2, 200_000)
    outcome = random.random(len(truth)) < expit(truth)
    matrix, seen = made(200)
    model = boosting.fit(matrix, seen, COLUMNS, AREA, rounds=1).calibrated((truth - 0.5) / 2, outcome)
    assert model.calibration.slope == pytest.approx(2, rel=0.03)
    assert model.calibration.intercept == pytest.approx(0.5, abs=0.03)


def test_the_log_linear_fit_is_scikit_learns_on_standardised_columns() -> None:
    matrix, outcome = made(3000)
    columns = np.column_stack([1000 * matrix[:, 0] + 5, matrix[:, 1], np.full(3000, 4.0)])
    found = loglinear.fit(["x", "y", "constant"], columns, outcome, ridge=10.0)
    scaled = (columns[:, :2] - columns[:, :2].mean(axis=0)) / columns[:, :2].std(axis=0)
    expected = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit(scaled, outcome)
    np.testing.assert_allclose(found.log_odds(columns), expected.decision_function(scaled), atol=1e-3)
    assert found.weights["constant"] == 0


def groups_of(count: int, rows: int) -> np.ndarray:
    return np.array([f"soil {n % count}" for n in range(rows)])


def test_a_row_of_weight_two_is_two_rows() -> None:
    columns, outcome = made(400)[0][:, :2], made(400)[1]
    weights = np.where(np.arange(400) < 150, 2.0, 1.0)
    twice = np.repeat(np.arange(400), weights.astype(int))
    found = loglinear.fit(["a", "b"], columns, outcome, weights=weights)
    expected = loglinear.fit(["a", "b"], columns[twice], outcome[twice])
    np.testing.assert_allclose(
        [found.intercept, *found.weights.values()], [expected.intercept, *expected.weights.values()], rtol=1e-4
    )


def test_a_held_out_group_changes_nothing_of_what_scores_it() -> None:
    matrix, outcome = made(360)
    groups = groups_of(6, 360)
    as_seen = {"log_odds": matrix}
    _, found = sensor_threat.held_out(matrix, outcome, groups, COLUMNS, SENSOR, as_seen=as_seen)
    held = groups == "soil 2"
    changed = np.where(held, ~outcome, outcome)
    fold, other = sensor_threat.held_out(matrix, changed, groups, COLUMNS, SENSOR, as_seen=as_seen)
    before, after = found["log_odds"], other["log_odds"]
    np.testing.assert_array_equal(before[held], after[held])
    assert not np.array_equal(before[~held], after[~held])
    assert set(np.array(fold)[held]) == {"soil 2"}


def test_folds_hold_out_every_group_once_and_whole() -> None:
    matrix, outcome = made(600)
    groups = groups_of(20, 600)
    fold, scored = sensor_threat.held_out(matrix, outcome, groups, COLUMNS, SENSOR, as_seen={"log_odds": matrix})
    assert len(set(fold)) == 6
    assert len(set(zip(fold, groups.tolist(), strict=True))) == 20
    assert np.isfinite(scored["log_odds"]).all()


def test_one_group_is_refused() -> None:
    matrix, outcome = made(50)
    with pytest.raises(StageError, match="at least two"):
        sensor_threat.fit(matrix, outcome, groups_of(1, 50), COLUMNS, SENSOR)


def sensor_table(rows: int = 240) -> tuple[pa.Table, Columns]:
    """Return alarms as `features` writes them, a tenth of unknown outcome; half the hazards show in EMI alone."""
    random = np.random.default_rng(5)
    outcome = random.random(rows) < 0.5
    voltage = np.clip(random.normal(0.4 + 0.1 * outcome, 0.1), 0, 1)
    in_phase = random.normal(outcome.astype(float), 0.3)
    inputs = {"voltage": voltage, "height": random.random(rows), "emi_in_phase": in_phase, "emi_quadrature": -in_phase}
    names, matrix = assemble("sensor_threat", inputs)
    table = pa.table(
        {
            "detection_id": [f"d{n:03d}" for n in range(rows)],
            "group_id": groups_of(6, rows).tolist(),
            "label": pa.array([None if n % 10 == 0 else int(outcome[n]) for n in range(rows)], pa.int8()),
            **{name: matrix[:, j] for j, name in enumerate(names)},
        }
    )
    return table, Columns(names, tuple(name for name in names if not name.startswith("emi")))


MEASURED = ["voltage", "height", "emi_in_phase", "emi_quadrature"]
EMI = {"emi": ["emi_in_phase", "emi_quadrature"]}


def test_alarms_of_unknown_outcome_are_not_learned_from() -> None:
    table, columns = sensor_table()
    fit, held_out = sensor_threat.train(table, columns, SENSOR, measured=MEASURED, optional={})
    assert fit.rows == held_out.num_rows == 216
    assert held_out.schema.equals(sensor_threat.HELD_OUT)


def test_a_row_scored_without_a_modality_shows_nothing_of_it() -> None:
    table, columns = sensor_table()
    _, held_out = sensor_threat.train(table, columns, SENSOR, measured=MEASURED, optional=EMI)
    blind = held_out["log_odds_without_emi"].to_numpy()
    hazard = held_out["label"].to_numpy() == 1
    assert roc_auc_score(hazard, blind) < roc_auc_score(hazard, held_out["log_odds"].to_numpy())
    # rows that differ only in EMI are one row to a sensor without it
    place = table.column_names.index("voltage")
    same = table.set_column(place, "voltage", pa.array(np.full(table.num_rows, 0.4, np.float32)))
    same = same.set_column(place + 1, "height", pa.array(np.full(table.num_rows, 0.5, np.float32)))
    alike = sensor_threat._without(EMI["emi"], same, MEASURED)
    np.testing.assert_array_equal(alike, np.broadcast_to(alike[0], alike.shape))


def test_the_random_split_ignores_groups_and_keeps_the_share_of_hazards() -> None:
    outcome = np.arange(600) % 4 == 0
    groups = sensor_threat._at_random(outcome, 6, 7)
    assert [outcome[groups == group].sum() for group in np.unique(groups)] == [25] * 6
    assert len(set(zip(groups.tolist(), groups_of(6, 600).tolist(), strict=True))) == 36
