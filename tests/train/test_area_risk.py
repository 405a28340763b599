"""The area model: each origin learns from what was known by then, and the last one's model is shipped."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from support.area_case import ROLLING, TASK
from train.small_fits import AREA, COLUMNS, made

from pipeline.model.cutoffs import cutoffs_of, labels_until
from pipeline.runtime.errors import StageError
from pipeline.storage import records
from pipeline.storage.marking import Marking
from pipeline.train import area_risk
from pipeline.validation import origins


def area_table(seed: int = 1) -> pa.Table:
    """Return rows of the area model: 30 cells at every cutoff of the task."""
    cutoffs = np.repeat(cutoffs_of(ROLLING), 30)
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
    cutoffs = cutoffs_of(ROLLING)
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
    cutoffs = cutoffs_of(ROLLING)
    rolled = origins.rolling_origins(cutoffs, ROLLING, calibration_blocks=2)
    for k in (2, 3, 4):
        rows = origins.calibration_rows(labels_until(cutoffs, ROLLING), rolled, k, calibration_blocks=2)
        assert cutoffs[rows].min() >= rolled[k - 2].at
        assert (cutoffs[rows] + np.timedelta64(28, "D")).max() <= rolled[k].at
        assert not any((rows & origin.block & origin.train).any() for origin in rolled[k - 2 : k])


def test_too_few_cutoffs_are_refused() -> None:
    with pytest.raises(StageError, match=r"origin 2020-07-17.*0 rows to learn from and 4 to predict"):
        origins.rolling_origins(cutoffs_of(TASK), TASK, calibration_blocks=3)


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
