"""The planner's surface: its numbers are the model's own, its reasons add up, it says what it rests on and how long."""

import json
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from support import fit_records
from support.area_case import CENTRE, ROLLING, day
from support.made_features import feature

from pipeline.evaluate import __main__ as command
from pipeline.evaluate.surface import risk_interval, risk_surface
from pipeline.model import explain
from pipeline.model.catalogue import Catalogue
from pipeline.model.cutoffs import cutoffs_of
from pipeline.model.fit_record import AreaFitRecord, write_fit
from pipeline.model.fitted import Columns
from pipeline.params import AreaBoosting
from pipeline.runtime import local_days
from pipeline.runtime.errors import StageError
from pipeline.storage import records, store
from pipeline.storage.marking import Marking
from pipeline.storage.paths import DatasetPaths
from pipeline.train import area_risk
from pipeline.train.area_risk import AreaFit

ROOT = Path(__file__).parents[2]
NAMES = ("label_log1p_decay14d_ring0", "label_log1p_decay365d_ring0", "town_distance_m")
FEATURES = tuple(feature(name, group=group) for name, group in zip(NAMES, ("label", "label", "town"), strict=True))
SETTINGS = AreaBoosting(
    baseline_ridge=1.0,
    num_leaves=4,
    learning_rate=0.1,
    min_data_in_leaf=20,
    lambda_l2=1.0,
    feature_fraction=0.8,
    rounds=[20, 40],
    calibration_blocks=2,
    most_negatives=10_000,
    seed=7,
)
MARKING = Marking("COMMAND", ("COMMAND",), "AMBER")
FIT = fit_records.area_fit(labels_until="2020-12-30T00:00:00.000000Z")
CUTOFFS = [day("2020-12-02"), day("2020-12-30"), day("2021-01-13")]


@pytest.fixture(scope="module")
def theatre() -> tuple[pa.Table, Columns, AreaFit, pa.Table, pa.Table]:
    """Return rows of a theatre of 37 cells, and a model fitted to them."""
    random = np.random.default_rng(3)
    cells = sorted(h3.grid_disk(CENTRE, 3))
    cutoffs = np.repeat(cutoffs_of(ROLLING), len(cells))
    x = random.normal(size=(len(cutoffs), 3)).astype(np.float32)
    happened = random.random(len(cutoffs)) < expit(x[:, 0] - 1 + 2 * (x[:, 2] > 0.5))
    x[random.random(len(cutoffs)) < 0.2, 2] = np.nan
    columns: dict[str, Any] = {
        "cutoff": pa.array(cutoffs, pa.timestamp("us", "UTC")),
        "cell": cells * (len(cutoffs) // len(cells)),
        "label": pa.array(happened.astype(np.int8)),
        "trust": pa.nulls(len(happened), pa.float32()),
    }
    table = pa.table({**columns, **{name: x[:, j] for j, name in enumerate(NAMES)}})
    features = Columns(names=NAMES, linear=NAMES[:2])
    return table, features, *area_risk.train(table, features, ROLLING, SETTINGS)


def fit_record(fit: AreaFit) -> AreaFitRecord:
    return fit.record(features_digest="sha256:0", marking=MARKING)


def test_the_surface_says_what_the_held_out_predictions_say_and_its_reasons_add_up(theatre) -> None:
    table, _, fit, held_out, _ = theatre
    cutoff = held_out["cutoff"][-1]  # of the origin whose model is shipped
    rows = table.filter(pa.compute.equal(table["cutoff"], cutoff))
    scores = explain.score(rows, fit.model.booster, fit_record(fit), [feature.group for feature in FEATURES])
    np.testing.assert_allclose(scores.log_odds, held_out["log_odds"].to_numpy()[-rows.num_rows :], rtol=1e-9)
    assert scores.groups == ("label", "town")
    assert np.abs(scores.added).max() > 0.5
    np.testing.assert_allclose(scores.added.sum(axis=1), scores.log_odds - scores.log_odds.mean(), atol=1e-9)


def test_the_calibration_block_is_predicted_by_a_model_that_had_not_seen_it(theatre) -> None:
    table, columns, fit, _, calibration = theatre
    final = fit.model.log_odds(columns.of(table))
    seen = dict(zip(zip(table["cutoff"].to_pylist(), table["cell"].to_pylist(), strict=True), final, strict=True))
    keys = zip(calibration["cutoff"].to_pylist(), calibration["cell"].to_pylist(), strict=True)
    difference = calibration["log_odds"].to_numpy() - np.array([seen[key] for key in keys])
    assert 0.001 < np.abs(difference).mean() < 1
    # the line was fitted to these very rows: another one on top of it changes nothing
    again = LogisticRegression(C=np.inf, solver="newton-cholesky").fit(
        calibration["log_odds"].to_numpy()[:, None], calibration["label"].to_numpy()
    )
    assert (again.coef_[0, 0], again.intercept_[0]) == pytest.approx((1, 0), abs=1e-3)


def known(blocks: int, rows: int = 400, *, happens: float = 1.0) -> dict[str, Any]:
    """Return predictions and outcomes; what happens is `happens` times as likely as was predicted."""
    random = np.random.default_rng(5)
    log_odds = random.normal(-3, 1.5, blocks * rows)
    outcome = random.random(blocks * rows) < happens * expit(log_odds)
    return {"known_log_odds": log_odds, "known_outcome": outcome, "blocks": np.repeat(np.arange(blocks), rows)}


def test_one_newton_step_gives_the_interval_of_fitting_each_sample_anew() -> None:
    given, log_odds = known(30), np.array([-4.0, -2.0, 0.0])
    given["known_log_odds"] = np.round(2 * given["known_log_odds"]) / 2  # few values: each fit has few weighted rows
    low, high = risk_interval.risk_interval(log_odds, **given, samples=100, seed=7)
    drawn = np.random.default_rng(7).multinomial(30, np.full(30, 1 / 30), size=100)
    values, value = np.unique(given["known_log_odds"], return_inverse=True)
    rows = np.zeros((30, len(values), 2))
    np.add.at(rows, (given["blocks"], value, given["known_outcome"].astype(int)), 1)
    x, outcome = np.repeat(values, 2)[:, None], np.tile([0, 1], len(values))
    refitted = []
    for times in drawn:
        weight = np.tensordot(times, rows, axes=1).ravel()
        line = LogisticRegression(C=np.inf, solver="newton-cholesky").fit(x, outcome, weight)
        refitted.append(line.predict_proba(log_odds[:, None])[:, 1])
    expected = np.quantile(refitted, [0.025, 0.975], axis=0)
    np.testing.assert_allclose([low, high], expected, rtol=0.03)


def test_the_interval_is_narrower_with_more_outcomes_and_reaches_down_when_less_happens_than_predicted() -> None:
    log_odds = np.array([-3.0])
    few, many = (risk_interval.risk_interval(log_odds, **known(n), samples=200, seed=7) for n in (5, 80))
    assert few[1] - few[0] > 2 * (many[1] - many[0])
    low, high = risk_interval.risk_interval(log_odds, **known(40, happens=0.5), samples=200, seed=7)
    assert low == pytest.approx(0.5 * expit(-3), rel=0.2)
    assert high == pytest.approx(expit(-3))  # the model's own probability is always within


def test_the_last_cutoff_before_the_day_speaks_until_its_horizon_ends() -> None:
    valid = risk_surface.validity(date(2021, 1, 20), CUTOFFS, FIT, zone="UTC")
    assert (valid.cutoff, valid.expires_at) == (CUTOFFS[-1], CUTOFFS[-1] + timedelta(days=28))
    assert risk_surface.validity(date(2021, 1, 13), CUTOFFS, FIT, zone="UTC").cutoff == CUTOFFS[-1]
    assert risk_surface.validity(date(2021, 1, 12), CUTOFFS, FIT, zone="UTC").cutoff == CUTOFFS[1]
    assert not valid.seen_in_training
    assert risk_surface.validity(date(2020, 12, 29), CUTOFFS, FIT, zone="UTC").seen_in_training


def test_a_surface_holds_for_the_theatres_own_days_though_its_clocks_change() -> None:
    zone = "Asia/Beirut"  # forward on 28 March 2021: its midnights move from 22:00 to 21:00 UTC
    cutoffs = [local_days.midnight(date(2021, 3, 8), zone), local_days.midnight(date(2021, 3, 15), zone)]
    fit = fit_records.area_fit(labels_until="2021-03-07T22:00:00.000000Z")
    valid = risk_surface.validity(date(2021, 3, 20), cutoffs, fit, zone=zone)
    assert (valid.cutoff.isoformat(), valid.days_older) == ("2021-03-14T22:00:00+00:00", 5)
    assert valid.expires_at.isoformat() == "2021-04-11T21:00:00+00:00"
    assert risk_surface.validity(date(2021, 3, 15), cutoffs, fit, zone=zone).days_older == 0
    assert risk_surface.validity(date(2021, 4, 11), cutoffs, fit, zone=zone).expires_at == valid.expires_at
    with pytest.raises(StageError, match=r"from 2021-03-08, .* until before 2021-04-12, .*Asia/Beirut"):
        risk_surface.validity(date(2021, 4, 12), cutoffs, fit, zone=zone)


@pytest.mark.parametrize("requested", ["2020-12-01", "2021-02-10", "2030-01-01"])
def test_a_day_for_which_no_cutoff_is_valid_is_refused(requested: str) -> None:
    with pytest.raises(StageError, match=r"expected a day from 2020-12-02, .* until before 2021-02-10"):
        risk_surface.validity(date.fromisoformat(requested), CUTOFFS, FIT, zone="UTC")


def test_an_outcome_that_was_still_open_at_the_cutoff_has_no_part_in_the_interval() -> None:
    def predictions(*days: str) -> pa.Table:
        moments = pa.array([day(text) for text in days], pa.timestamp("us", "UTC"))
        return pa.table({"cutoff": moments, "label": [1] * len(days), "log_odds": [0.0] * len(days)})

    known_rows = risk_surface.known_by(
        day("2021-02-01"),
        predictions("2020-11-01"),
        predictions("2021-01-04", "2021-01-05"),
        horizon_days=28,
        zone="UTC",
    )
    assert known_rows["cutoff"].to_pylist() == [day("2020-11-01"), day("2021-01-04")]


def test_the_command_writes_a_table_and_the_same_as_geojson(
    theatre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, _, fit, held_out, calibration = theatre
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    paths = DatasetPaths("simulated")
    store.write_table(table, paths.features("area_risk_28d"), schema=table.schema, sort_by=("cutoff", "cell"))
    folder = paths.model("area_risk_28d")
    with pytest.raises(StageError, match="no such file"):
        command._surface(["--dataset", "simulated", "--date", "2021-04-01"])
    for name, rows in (("heldout", held_out), ("calibration", calibration)):
        store.write_table(rows, folder / f"{name}.parquet", schema=rows.schema, sort_by=("cutoff", "cell"))
    write_fit(fit_record(fit), folder / "fit.json")
    catalogue = Catalogue(features=FEATURES, marking=MARKING, rows={})
    catalogue.write(paths.catalogue("area_risk_28d"))
    fit.model.booster.save_model(folder / "model.txt")

    command._surface(["--dataset", "simulated", "--date", "2021-05-13", "--out", "out"])
    assert (
        "as known at 2021-05-05T00:00:00Z, 8 days older; holds until the end of 2021-06-01, UTC, and expires 2021-06-02"
        in capsys.readouterr().out
    )
    written = pq.read_table("out/area_risk_28d-2021-05-13.parquet")
    collection = json.loads(Path("out/area_risk_28d-2021-05-13.geojson").read_text())
    predicted = held_out.filter(pa.compute.equal(held_out["cutoff"], day("2021-05-05")))
    assert written["cell"].to_pylist() == predicted["cell"].to_pylist()
    np.testing.assert_allclose(written["probability"].to_numpy(), expit(predicted["log_odds"].to_numpy()), rtol=1e-9)
    expected = (True, records.to_json(MARKING), "2021-05-13")
    assert (collection["simulated"], collection["marking"], collection["date"]) == expected
    for row, outlined in zip(written.to_pylist(), collection["features"], strict=True):
        cell = outlined["properties"]
        assert cell["probability_low"] <= cell["probability"] <= cell["probability_high"]
        assert (cell["probability"], cell["drivers"], cell["tlp"]) == (row["probability"], row["drivers"], "AMBER")
        sizes = [abs(driver["log_odds"]) for driver in cell["drivers"]]
        assert sizes == sorted(sizes, reverse=True)
        (ring,) = outlined["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        x, y = np.array(ring).T
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0  # anticlockwise
        latitude, longitude = h3.cell_to_latlng(row["cell"])
        assert (x.min() < longitude < x.max(), y.min() < latitude < y.max()) == (True, True)


def test_what_the_interval_is_stands_in_the_file(theatre) -> None:
    table, _, fit, _, calibration = theatre
    cutoff = day("2021-05-05")
    valid = risk_surface.Validity(
        date(2021, 4, 1), cutoff, cutoff + timedelta(days=28), seen_in_training=True, zone="UTC"
    )
    settings = command.params.load(ROOT / "params.yaml").evaluate
    rows = table.filter(pa.compute.equal(table["cutoff"], cutoff))
    surface = risk_surface.build(
        rows, calibration, fit.model.booster, fit_record(fit), valid, settings, features=FEATURES, simulated=False
    )
    written = risk_surface.geojson(surface)
    assert written["interval"] == risk_interval.METHOD
    assert (written["seen_in_training"], written["simulated"]) == (True, False)
    assert asdict(surface.marking)["tlp"] == "AMBER"
    assert "learned from outcomes after this cutoff" in risk_surface.describe(surface)
