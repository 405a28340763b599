"""Evaluation of the area model: leaks are caught, baselines learn from the same rows, the oracle is read."""

from dataclasses import replace
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pytest
from h3 import grid_disk
from scipy.special import expit, logit
from support import fit_records
from support.area_case import CENTRE, ROLLING, day, incident, incidents, rows_of

from pipeline.evaluate import area_risk, baselines, oracle
from pipeline.evaluate.hot_spots import near_misses
from pipeline.model.cells import ring_matrices
from pipeline.model.cutoffs import labels_until
from pipeline.model.fit_record import AreaFitRecord
from pipeline.params import Evaluate
from pipeline.runtime.errors import StageError
from pipeline.validation import origins
from pipeline.validation.origins import Instants, LeakError, Origin

ORIGINS = ("2021-01-01", "2021-02-26", "2021-04-23")
SETTINGS = Evaluate(
    area_shares=[0.05],
    alarm_shares=[0.1],
    logistic_ridge=1.0,
    alarms_per_m2=[],
    calibration_bins=5,
    bootstrap_samples=200,
    seed=7,
)

FEATURES = rows_of(incidents(incident("a", "2020-06-01")), task=ROLLING).features
"""The same for any incidents whose sources are all trusted alike."""


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Return the rows of a theatre in which some cells are hit again and again."""
    random = np.random.default_rng(4)
    cells = sorted(grid_disk(CENTRE, 2))
    hit = [cells[n] for n in random.choice(6, 200)] + [cells[n] for n in random.choice(12, 60)]
    start = np.datetime64("2020-01-01")
    days = [str(start + int(day)) for day in random.integers(0, 540, len(hit))]
    sources = ["acme", "bravo"]
    return rows_of(
        incidents(*(incident(f"i{n}", days[n], cell=c, source_id=sources[n % 3 == 0]) for n, c in enumerate(hit))),
        task=ROLLING,
    ).table


def fitted() -> AreaFitRecord:
    """Return the record of a fit as `train` writes it."""
    return fit_records.area_fit(origins=[fit_records.origin_fit(day) for day in ORIGINS])


def held_out(table: pa.Table, log_odds: float = -2.0) -> pa.Table:
    """Return predictions of the test rows by the last year's events."""
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    fold = np.full(len(cutoffs), "", dtype="U10")
    for origin in origins_of(cutoffs):
        fold[origin.block & origin.tested] = str(origin.at)[:10]
    tested = table.filter(pa.array(fold != ""))
    predicted = log_odds + tested["label_log1p_decay365d_ring0"].to_numpy().astype(np.float64)
    predictions = {"fold": pa.array(fold[fold != ""]), "log_odds": pa.array(predicted)}
    return pa.table({"cutoff": tested["cutoff"], "cell": tested["cell"], **predictions})


def origins_of(cutoffs: Instants) -> list[Origin]:
    return origins.rolling_origins(cutoffs, ROLLING, calibration_blocks=2)


def evaluate(
    table: pa.Table, predictions: pa.Table, fit: AreaFitRecord, truth: pa.Table | None = None
) -> dict[str, Any]:
    evaluation = area_risk.evaluate(table, predictions, fit, ROLLING, SETTINGS, features=FEATURES, truth=truth)
    return evaluation.metrics.to_json()


def test_a_label_past_the_embargo_is_caught(table: pa.Table) -> None:
    for n in range(len(ORIGINS)):
        leaks = fit_records.origin_fit(ORIGINS[n], labels_until=f"{np.datetime64(ORIGINS[n]) + 20}T00:00:00.000000Z")
        origins = fitted().origins
        leaking = replace(fitted(), origins=[*origins[:n], leaks, *origins[n + 1 :]])
        with pytest.raises(LeakError, match="expected an embargo"):
            evaluate(table, held_out(table), leaking)


def test_predictions_of_other_rows_are_refused(table: pa.Table) -> None:
    predictions = held_out(table)
    for wrong in (predictions.slice(1), predictions.take(pa.array(np.arange(predictions.num_rows)[::-1]))):
        with pytest.raises(StageError, match="expected the same rows"):
            evaluate(table, wrong, fitted())


def test_every_model_is_measured_on_the_same_rows(table: pa.Table) -> None:
    metrics = evaluate(table, held_out(table), fitted())
    part = metrics["theatre"]
    assert set(part["models"]) == {
        "lightgbm",
        "base_rate",
        "last_period",
        "running_mean",
        "decayed_counts",
        "decayed_rings",
        "kernel_density",
        "hawkes",
        "logistic_regression",
    }
    for skill in part["models"].values():
        assert {"roc_auc", "pr_auc", "log_loss", "brier", "ece", "hit_rate_5pct", "pai_5pct", "pei_5pct"} <= set(skill)
    loss = {name: skill["log_loss"] for name, skill in part["models"].items()}
    best = part["best_baseline"]
    assert loss[best] == min(value for name, value in loss.items() if name != "lightgbm")
    assert part["log_loss_difference"]["value"] == pytest.approx(loss["lightgbm"] - loss[best], abs=1e-9)
    assert (
        part["models"]["decayed_counts"]["hit_rate_5pct_within_1"] >= part["models"]["decayed_counts"]["hit_rate_5pct"]
    )
    assert "oracle_share" not in part
    history = part["subgroups"]["cells_with_history"]
    assert 0 < history["rows"] < part["rows"]
    assert 0 < metrics["operating_points"]["top_1pct"] < 1


def test_every_subgroup_with_enough_rows_is_measured_and_the_others_are_named(table: pa.Table) -> None:
    theatre = evaluate(table, held_out(table), fitted())["theatre"]
    parts = theatre["subgroups"]
    regions = {name for name in {*parts, *theatre["subgroups_too_small"]} if name.startswith("region_")}
    assert regions == {f"region_{a}_{b}" for a in ("north", "south") for b in ("east", "west")}
    assert {f"origin_{day}" for day in ORIGINS} <= set(parts)
    assert sum(parts[f"origin_{day}"]["rows"] for day in ORIGINS) == theatre["rows"]
    partners = [parts[f"partner_{name}"] for name in ("acme", "bravo")]
    quiet = theatre["rows"] - theatre["positives"]
    for part in partners:
        assert part["rows"] - part["positives"] == quiet
    # an event that both have told of counts for both
    assert (
        max(part["positives"] for part in partners)
        < theatre["positives"]
        <= sum(part["positives"] for part in partners)
    )
    assert not set(parts) & set(theatre["subgroups_too_small"])


def test_no_outcome_after_an_origin_changes_what_a_baseline_says(table: pa.Table) -> None:
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    outcome = table["label"].to_numpy(zero_copy_only=False) == 1
    rolling, ends = origins_of(cutoffs), labels_until(cutoffs, ROLLING)
    arguments = {"ridge": 1.0, "features": FEATURES, "fitted": fitted().params}
    before = baselines.probabilities(table, outcome, ends, rolling, **arguments)
    tested = [origin for origin in rolling if origin.tested]
    origin_of_row = np.concatenate([np.full(int(origin.block.sum()), n) for n, origin in enumerate(tested)])
    for n, origin in enumerate(tested):
        later = cutoffs + np.timedelta64(28, "D") > origin.at
        after = baselines.probabilities(table, np.where(later, ~outcome, outcome), ends, rolling, **arguments)
        for name, values in before.items():
            np.testing.assert_array_equal(values[origin_of_row <= n], after[name][origin_of_row <= n], err_msg=name)
        assert before["base_rate"][origin_of_row == n][0] == pytest.approx(outcome[origin.train].mean())


def test_an_event_next_to_a_searched_cell_is_a_near_miss() -> None:
    cells = np.sort(np.array([h3.str_to_int(cell) for cell in grid_disk(CENTRE, 2)], dtype=np.uint64))
    rings = ring_matrices(cells, 2)
    middle = int(np.flatnonzero(cells == h3.str_to_int(CENTRE))[0])
    score = np.zeros(len(cells))
    score[middle] = 1
    for steps in (0, 1, 2):
        outcome = np.zeros(len(cells), dtype=bool)
        outcome[(rings[steps][[middle]].toarray()[0] > 0).argmax()] = True
        rates = near_misses(outcome, score, rings, shares=[0.05])
        assert rates == {"hit_rate_5pct_within_1": float(steps <= 1), "hit_rate_5pct_within_2": 1.0}


def test_the_oracle_is_looked_up_by_cell_and_day_and_is_0_off_the_ground() -> None:
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
    predictions = held_out(table)
    truth = pa.table(
        {
            "cell": predictions["cell"],
            "day": predictions["cutoff"],
            "probability_28d": expit(predictions["log_odds"].to_numpy()),
        }
    )
    part = evaluate(table, predictions, fitted(), truth)["theatre"]
    assert part["oracle_share"] == pytest.approx(1)
    assert part["best_baseline"] != "oracle"
    blunt = predictions.set_column(3, "log_odds", pa.array(np.full(predictions.num_rows, logit(0.2))))
    assert evaluate(table, blunt, fitted(), truth)["theatre"]["oracle_share"] < 1
