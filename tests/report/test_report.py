"""The reviewers' pages agree with the files, and no text in them can break out of the page."""

import dataclasses
import json
from base64 import b64decode
from datetime import UTC, datetime

import h3
import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
from support import finished_stages
from support.finished_stages import MODEL, PART
from support.made_features import feature
from support.project import Project

from pipeline import params
from pipeline.model.catalogue import Catalogue
from pipeline.model.fit_record import read_fit
from pipeline.model.skill_records import Estimate
from pipeline.report import drivers, facts, render
from pipeline.report.drivers import Reasons
from pipeline.report.risk_map import REASON_STEP, risk_map
from pipeline.runtime.errors import StageError
from pipeline.storage import store
from pipeline.storage.marking import Marking
from pipeline.storage.paths import DatasetPaths

PATHS = DatasetPaths("simulated")


@pytest.fixture
def declared(workspace) -> params.Params:
    """Return params of a dataset with the sensor's model alone, whose stages have finished in the working folder."""
    finished_stages.write()
    loaded = params.load()
    entry = loaded.datasets["simulated"]
    models = {"sensor_threat": loaded.sensor_task("simulated")}
    only = dataclasses.replace(entry, theatre=None, models=models, sources=["sim_command_detections"])
    return dataclasses.replace(loaded, datasets={"simulated": only})


def test_the_card_and_the_page_agree_with_the_files(declared) -> None:
    gathered = facts.gather("simulated", declared)
    card, page = render.card(gathered, gathered.models[0]), render.page(gathered)
    part = store.read_json(PATHS.evaluation(MODEL) / "metrics.json")[PART]
    ours, difference = part["models"]["lightgbm"], part["log_loss_differences"]["logistic_regression"]
    interval = f"{difference['value']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"
    for text in (card, page):
        assert f"{ours['log_loss']:.4f}" in text
        assert interval in text
        assert gathered.models[0].evidence.digest in text
        assert "TLP:AMBER" in text
        assert "range 12" in text or "| 600 | 12 |" in text
    assert "Alarms |" in card  # the first sentence of what the source is
    assert f"expected calibration error {ours['ece']:.4f}" in card


def test_the_same_files_give_the_same_bytes(declared) -> None:
    first, second = (facts.gather("simulated", declared) for _ in range(2))
    assert render.page(first) == render.page(second)
    assert render.card(first, first.models[0]) == render.card(second, second.models[0])


def test_the_page_shows_freshness_drift_and_detection(declared) -> None:
    metrics = store.read_json(PATHS.evaluation(MODEL) / "metrics.json")
    shipped = metrics[PART]["models"]["lightgbm"]
    detection = {"pd_at_far": {"0.05": 0.5}, "pd_at_alarms_per_m2": {"0.01": 0.25}}
    shipped |= {**detection, "intervals": {"pd_at_alarms_per_m2_0.01": {"low": 0.125, "high": 0.375}}}
    store.write_json(metrics, PATHS.evaluation(MODEL) / "metrics.json")
    gathered = facts.gather("simulated", declared)
    page = render.page(gathered)
    (fresh,) = gathered.freshness
    assert (fresh.records, fresh.silent_days, fresh.median_delay_days) == (600, 0.0, 0.5)
    assert f"known by {fresh.newest_available} (UTC)" in page
    assert "<td>600</td><td>2022-01-25</td><td>2022-01-26</td><td>0.0</td><td>0.5</td><td>0.5</td>" in page
    assert {shift.group for shift in gathered.models[0].drift} == {"voltage", "height"}
    assert all(shift.split in page and f"<td>{shift.index:.3f}</td>" in page for shift in gathered.models[0].drift)
    assert "PD at 5% of the clutter" in page
    assert "PD at 0.01 false alarms per m²" in page
    assert "<td>0.500</td><td>0.250 [0.125, 0.375]</td>" in page


def test_the_verdict_is_the_gates(declared) -> None:
    loose = dataclasses.replace(declared.review, ece_at_most=0.5, observed_over_expected=(0.1, 10.0))
    good = render.page(facts.gather("simulated", dataclasses.replace(declared, review=loose)))
    assert "✔ fit for the field" in good
    tight = dataclasses.replace(loose, onnx_mib_at_most=1e-6)
    bad = render.page(facts.gather("simulated", dataclasses.replace(declared, review=tight)))
    assert "✘ not fit: fails 1 of" in bad
    assert "Fails: fits the device." in bad


def test_a_partners_text_stays_text(declared) -> None:
    ingested = store.read_json(PATHS.ingested)
    ingested["sources"]["<script>alert(1)</script>"] = ingested["sources"]["sim_command_detections"]
    store.write_json(ingested, PATHS.ingested)
    page = render.page(facts.gather("simulated", declared))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "</script>" not in render._json({"cells": ["</script><script>alert(1)"]})


def test_a_page_of_several_models_carries_the_strictest_marking(declared) -> None:
    (model,) = (gathered := facts.gather("simulated", declared)).models
    fit = dataclasses.replace(model.evidence.fit, marking=Marking("SURVEY", ("MINE_ACTION", "SURVEY"), "RED"))
    red = dataclasses.replace(model, evidence=dataclasses.replace(model.evidence, fit=fit))
    page = render.page(dataclasses.replace(gathered, models=(model, red)))
    assert page.count("TLP:RED <span>· releasable to MINE_ACTION · from COMMAND+SURVEY · SIMULATED DATA") == 2


@pytest.mark.parametrize(
    ("low", "high", "words"), [(-0.2, -0.1, "better"), (0.1, 0.2, "worse"), (-0.1, 0.1, "not clearly different")]
)
def test_an_interval_in_words(low, high, words) -> None:
    difference = Estimate(value=(low + high) / 2, low=low, high=high)
    part = facts.Part("theatre", 10, 1, "base_rate", difference, (), None)
    assert render.better(part).startswith(f"{words} ")


def test_a_missing_stage_is_named(declared) -> None:
    PATHS.parity(MODEL).unlink()
    with pytest.raises(StageError, match=r"sensor_threat\.json: no such file; expected what `dvc repro` makes"):
        facts.gather("simulated", declared)


def test_features_of_other_rows_are_refused(declared) -> None:
    folder = PATHS.model(MODEL)
    held_out = store.read_table(folder / "heldout.parquet").slice(0, 599)
    ids = pa.array([f"x{i:04}" for i in range(599)])
    renamed = held_out.set_column(0, "detection_id", ids)
    store.write_table(renamed, folder / "heldout.parquet", schema=renamed.schema, sort_by=("detection_id",))
    with pytest.raises(StageError, match="detection_id of its rows is not that of the held-out predictions"):
        facts.gather("simulated", declared)


def test_the_map_holds_risk_events_and_the_strongest_reasons() -> None:
    centre = h3.latlng_to_cell(10.0, 20.0, 6)
    cells = sorted(h3.grid_ring(centre, 1)[:2])
    cutoffs = [datetime(2022, 1, day, tzinfo=UTC) for day in (1, 15)]
    held_out = pa.table(
        {
            "cutoff": pa.array([c for c in cutoffs for _ in cells], pa.timestamp("us", tz="UTC")),
            "cell": cells * 2,
            "label": pa.array([0, 1, 0, 0], pa.int8()),
            "log_odds": [-7.5, 0.0, 3.25, 99.0],
        }
    )
    added = np.array([[0, 1, -2, 0.5], [0, 0, 0, 0], [3, 0, 0, 0], [0, 0, 0, -100]], np.float32)
    data = risk_map(held_out, Reasons(("a", "b", "c", "d"), added), horizon_days=28, zone="UTC")
    assert data["cutoffs"] == ["2022-01-01", "2022-01-15"]
    steps = np.frombuffer(b64decode(data["risk"]), "<u2") / 65535 * 30 - 15
    assert steps == pytest.approx([-7.5, 0.0, 3.25, 15.0], abs=3e-4)
    assert list(b64decode(data["events"])) == [0, 1, 0, 0]
    reasons = np.frombuffer(b64decode(data["reasons"]), np.uint8).reshape(4, 3, 2)
    assert reasons[0, :, 0].tolist() == [2, 1, 3]
    assert (reasons[0, :, 1].astype(int) - 128) * REASON_STEP == pytest.approx([-2, 1, 0.5])
    assert reasons[3, 0].tolist() == [3, 1]  # as far down as eight bits go
    for cell, outline in zip(cells, data["outlines"], strict=True):
        corners = np.array(outline).reshape(-1, 2)
        assert len(corners) == len(h3.cell_to_boundary(cell))
        assert (corners >= 0).all()
        assert (corners <= [data["width"], data["height"]]).all()
    north, south = (
        np.array(data["outlines"][i])[1::2].mean() for i in np.argsort([-h3.cell_to_latlng(c)[0] for c in cells])
    )
    assert north < south  # north is up
    json.dumps(data)


def test_the_reasons_add_up_to_the_log_odds_that_ship(small_chain: Project, monkeypatch) -> None:
    monkeypatch.chdir(small_chain.root)
    fit = read_fit(PATHS.model(MODEL) / "fit.json", MODEL)
    rows = store.read_table(PATHS.features(MODEL), columns=fit.features).slice(0, 500)
    result = drivers.reasons(PATHS.onnx(MODEL), rows, Catalogue.read(PATHS.catalogue(MODEL)).features)
    assert result is not None
    session = onnxruntime.InferenceSession(PATHS.onnx(MODEL))
    matrix = np.column_stack([rows[name].to_numpy() for name in fit.features])
    (log_odds,) = session.run(["log_odds"], {"features": matrix})
    base = log_odds[:, 0] - result.added.sum(axis=1)
    assert np.ptp(base) < 1e-4
    assert np.ptp(log_odds) > 1
    assert [size for _, size in result.mean_effect()] == sorted((s for _, s in result.mean_effect()), reverse=True)


def test_a_bundle_without_reasons_gives_none(declared) -> None:
    rows = store.read_table(PATHS.features(MODEL))
    assert drivers.reasons(PATHS.onnx(MODEL), rows, [feature("voltage"), feature("height")]) is None
    assert "The bundle was exported without reasons." in render.page(facts.gather("simulated", declared))
