"""Evaluation of the area model: planted leaks are caught, baselines learn from the same rows, the oracle is read."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from area_case import CENTRE, TASK, day, incident, incidents, rows_of
from h3 import grid_disk
from scipy.special import expit, logit

from pipeline import splits
from pipeline.cli import StageError
from pipeline.evaluate import area_risk, baselines, oracle
from pipeline.params import Evaluate
from pipeline.splits import LeakError

SETTINGS = Evaluate(area_shares=[0.05], alarm_shares=[0.1], calibration_bins=5, bootstrap_samples=200, seed=7)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Return the rows of a theatre in which some cells are hit again and again."""
    random = np.random.default_rng(4)
    cells = sorted(grid_disk(CENTRE, 2))
    hit = [cells[n] for n in random.choice(6, 200)] + [cells[n] for n in random.choice(12, 60)]
    start = np.datetime64("2020-01-01")
    days = [str(start + int(day)) for day in random.integers(0, 540, len(hit))]
    return rows_of(
        incidents(*(incident(f"i{n}", days[n], cell=cell) for n, cell in enumerate(hit))),
    ).table


def fitted(**changes: Any) -> dict[str, Any]:
    """Return the record of a fit as `train` writes it."""
    weights = {"label_log1p_decay14d_ring0": 0.5, "label_log1p_decay365d_ring0": 0.5}
    return {
        "horizon_days": 28,
        "labels_until": "2020-12-30T00:00:00.000000Z",
        "calibration_from": "2020-11-04T00:00:00.000000Z",
        "baseline": {"intercept": -2.0, "weights": weights},
        "params": {"baseline_ridge": 1.0},
        **changes,
    }


def held_out(table: pa.Table, log_odds: float = -2.0) -> pa.Table:
    """Return predictions of the test rows by the last year's events."""
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    tested = table.filter(pa.array(splits.split(cutoffs, TASK, horizon_days=28).test))
    predicted = log_odds + tested["label_log1p_decay365d_ring0"].to_numpy().astype(np.float64)
    return tested.select(["cutoff", "cell"]).append_column("log_odds", pa.array(predicted))


def evaluate(table: pa.Table, held: pa.Table, fit: dict[str, Any], truth: pa.Table | None = None) -> dict[str, Any]:
    return area_risk.evaluate(table, held, fit, TASK, SETTINGS, truth=truth).metrics


def test_a_label_past_the_embargo_is_caught(table: pa.Table) -> None:
    leaking = fitted(labels_until="2021-01-20T00:00:00.000000Z")
    with pytest.raises(LeakError, match="expected an embargo"):
        evaluate(table, held_out(table), leaking)


def test_predictions_of_other_rows_are_refused(table: pa.Table) -> None:
    held = held_out(table)
    for other in (held.slice(1), held.take(pa.array(np.arange(held.num_rows)[::-1]))):
        with pytest.raises(StageError, match="expected the same rows"):
            evaluate(table, other, fitted())


def test_every_model_is_measured_on_the_same_rows(table: pa.Table) -> None:
    found = evaluate(table, held_out(table), fitted())
    part = found["28d"]
    assert set(part["models"]) == {
        "lightgbm",
        "base_rate",
        "last_period",
        "running_mean",
        "decayed_counts",
        "decayed_rings",
        "logistic_regression",
    }
    for skill in part["models"].values():
        assert {"roc_auc", "pr_auc", "log_loss", "brier", "ece", "hit_rate_5pct", "pai_5pct", "pei_5pct"} <= set(skill)
    loss = {name: skill["log_loss"] for name, skill in part["models"].items()}
    best = part["best_baseline"]
    assert loss[best] == min(value for name, value in loss.items() if name != "lightgbm")
    assert part["log_loss_difference"]["value"] == pytest.approx(loss["lightgbm"] - loss[best], abs=1e-9)
    assert part["models"]["base_rate"]["roc_auc"] == 0.5
    assert "oracle_share" not in part
    history = part["subsets"]["cells_with_history"]
    assert 0 < history["rows"] < part["rows"]
    assert 0 < found["operating_points"]["top_1pct"] < 1


def test_no_outcome_of_the_test_changes_a_baseline(table: pa.Table) -> None:
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    outcome = table["label_28d"].to_numpy(zero_copy_only=False) == 1
    rows = area_risk._rows(cutoffs, TASK, fitted(), 28)
    arguments = {"linear": ["label_log1p_decay14d_ring0"], "horizon_days": 28, "ridge": 1.0}
    before = baselines.probabilities(table, outcome, rows, **arguments)
    after = baselines.probabilities(table, np.where(rows.test, ~outcome, outcome), rows, **arguments)
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)
        assert values.shape == (rows.test.sum(),)
    assert before["base_rate"][0] == pytest.approx(outcome[rows.train].mean())


def test_the_oracle_is_found_by_cell_and_day_and_sure_that_nothing_happens_off_the_ground() -> None:
    def moments(*texts: str) -> pa.Array:
        return pa.array([day(text) for text in texts], pa.timestamp("us", "UTC"))

    tested = pa.table({"cutoff": moments("2021-01-02", "2021-01-01", "2021-01-01"), "cell": ["a", "b", "sea"]})
    truth = pa.table(
        {
            "cell": ["a", "b", "a", "b"],
            "day": moments("2021-01-01", "2021-01-01", "2021-01-02", "2021-01-02"),
            "probability_28d": [0.1, 0.2, 0.3, 0.4],
        }
    )
    np.testing.assert_allclose(oracle.of_cells(tested, truth, horizon_days=28), [0.3, 0.2, 0.0])
    with pytest.raises(StageError, match="no day for 1 of the 2 test cutoffs"):
        oracle.of_cells(tested, truth.slice(0, 2), horizon_days=28)


def test_the_share_of_the_oracles_gain_is_one_for_the_oracle_itself(table: pa.Table) -> None:
    held = held_out(table)
    truth = pa.table(
        {"cell": held["cell"], "day": held["cutoff"], "probability_28d": expit(held["log_odds"].to_numpy())}
    )
    part = evaluate(table, held, fitted(), truth)["28d"]
    assert part["oracle_share"] == pytest.approx(1)
    assert part["best_baseline"] != "oracle"
    blunt = held.set_column(2, "log_odds", pa.array(np.full(held.num_rows, logit(0.2))))
    assert evaluate(table, blunt, fitted(), truth)["28d"]["oracle_share"] < 1
