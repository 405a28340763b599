"""Patrols that go where the last ones found something: who follows the risk at even exposure is not led in a circle."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from support import fit_records
from support.area_case import (
    ADMIRALTY,
    CENTRE,
    THEATRE,
    day,
    incident,
    incidents,
    observations,
    places,
    settlement,
)
from support.made_features import feature

from pipeline.evaluate.surface import risk_surface
from pipeline.features import area_risk
from pipeline.model import explain
from pipeline.model.fit_record import AreaFitRecord
from pipeline.model.fitted import Columns, Model
from pipeline.params import AreaBoosting, AreaFeatures, AreaTask, Label
from pipeline.train import boosting

CELLS = sorted(h3.grid_disk(CENTRE, 4))
PERIOD = 28
Row = dict[str, Any]
FIRST = day("2018-01-01")
LEARNING, ACTING = 80, 14
SENT = 6
"""Cells that the patrols go to in each period."""
HALF_LIVES = [28.0, 365.0]
SETTINGS = AreaBoosting(
    baseline_ridge=100.0,
    num_leaves=4,
    learning_rate=0.05,
    min_data_in_leaf=100,
    lambda_l2=10.0,
    feature_fraction=1.0,
    rounds=[60],
    calibration_blocks=1,
    most_negatives=100_000,
    seed=7,
)


def rows_until(period: int, happened: list[Row], patrols: list[Row]) -> tuple[area_risk.AreaRows, pa.Table]:
    """Return all rows up to a period, and those of its start."""
    last = FIRST + timedelta(days=PERIOD * period)
    task = AreaTask(
        label=Label(event_types=["explosion", "found_cleared"], hazards=["ied", "mine"], sources=[]),
        horizon_days=PERIOD,
        cutoff_every_days=PERIOD,
        retrain_every_days=PERIOD,
        history_from=FIRST.date(),
        train_from=FIRST.date() + timedelta(days=4 * PERIOD),
        test_from=last.date(),
        test_until=last.date() + timedelta(days=1),
    )
    rows = area_risk.build(
        incidents(*happened),
        observations(*patrols),
        places(*(settlement(cell) for cell in CELLS)),
        theatre=replace(THEATRE, within_km=1.0),
        task=task,
        features=AreaFeatures(
            half_lives_days=HALF_LIVES, rings=0, spreads_cells=[1.0], hawkes_half_lives_days=HALF_LIVES
        ),
        admiralty=ADMIRALTY,
    )
    return rows, rows.table.filter(pa.compute.equal(rows.table["cutoff"], pa.scalar(last, pa.timestamp("us", "UTC"))))


def patrol(cell: str, week: datetime) -> Row:
    latitude, longitude = h3.cell_to_latlng(cell)
    return {
        "observation_id": f"{cell} {week:%Y-%m-%d}",
        "kind": "patrol",
        "value": 20.0,
        "occurred_at": week,
        "occurred_precision": "day",
        "available_at": week + timedelta(days=1),
        "latitude_deg": latitude,
        "longitude_deg": longitude,
    }


def live_through(random: np.random.Generator, period: int, sent: np.ndarray) -> tuple[list[Row], list[Row]]:
    """Return what becomes known in a period: hazards are everywhere alike, and are found where patrols go."""
    start = FIRST + timedelta(days=PERIOD * period)
    happened, patrols = [], []
    for cell in np.flatnonzero(sent):
        patrols.append(patrol(CELLS[cell], start))
    for cell in np.repeat(np.arange(len(CELLS)), random.poisson(0.3, len(CELLS))):
        fate = random.random()
        on = (start + timedelta(days=int(random.integers(1, PERIOD)))).date().isoformat()
        if fate < 0.15:
            happened.append(incident(f"e{period}-{len(happened)}", on, cell=CELLS[cell]))
        elif sent[cell] and fate < 0.95:
            happened.append(incident(f"f{period}-{len(happened)}", on, cell=CELLS[cell], event_type="found_cleared"))
    return happened, patrols


def fed_back(seed: int, choose: str) -> tuple[np.ndarray, pa.Table, Row, Model]:
    """Send patrols at random, learn, then send them where a risk is high; return where they went, and the last rows."""
    random = np.random.default_rng(seed)
    happened: list[Row] = []
    patrols: list[Row] = []
    for period in range(LEARNING):
        seen = live_through(random, period, np.isin(np.arange(len(CELLS)), random.choice(len(CELLS), SENT)))
        happened, patrols = happened + seen[0], patrols + seen[1]
    rows, now = rows_until(LEARNING, happened, patrols)
    names = tuple(each.name for each in rows.features)
    columns = Columns(names, tuple(each.name for each in rows.features if each.linear))
    known = rows.table.filter(pa.compute.less(rows.table["cutoff"], now["cutoff"][0]))
    outcome = known["label"].to_numpy() == 1
    model = boosting.fit(columns.of(known), outcome, columns, SETTINGS, rounds=60)
    fit = fit_records.area_fit(features=list(names), baseline=model.baseline, calibration=model.calibration)
    went = []
    for period in range(LEARNING, LEARNING + ACTING):
        score = RISKS[choose](now, model, fit)
        sent = np.isin(np.arange(len(CELLS)), np.argsort(-score, kind="stable")[:SENT])
        went.append(sent)
        seen = live_through(random, period, sent)
        happened, patrols = happened + seen[0], patrols + seen[1]
        _, now = rows_until(period + 1, happened, patrols)
    return np.array(went), now, fit, model


def counted(now: pa.Table, _model: Model, _fit: AreaFitRecord) -> np.ndarray:
    """Return what the plain map of known events says."""
    return now["label_log1p_decay365d_ring0"].to_numpy()


def at_even_exposure(now: pa.Table, model: Model, fit: AreaFitRecord) -> np.ndarray:
    patrols = [feature(name, group="patrol") for name in now.column_names if name.startswith("patrol_")]
    return explain.log_odds(risk_surface.even_exposure(now, patrols), model.booster, fit)


RISKS = {"counts": counted, "even exposure": at_even_exposure}


def again(went: np.ndarray) -> float:
    """Return how often a patrol goes where one went in the period before."""
    return float((went[1:] & went[:-1]).sum() / went[1:].sum())


def over_the_rest(risk: np.ndarray, went: np.ndarray) -> float:
    """Return the mean risk where patrols went most, over that of the other cells; hazards are everywhere alike."""
    times = went.sum(axis=0)
    often = times >= np.quantile(times, 0.9)
    return float(risk[often].mean() / risk[~often].mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_patrols_sent_by_the_risk_at_even_exposure_do_not_make_a_hot_spot_confirm_itself(seed: int) -> None:
    by_counts, on_map, *_ = fed_back(seed, "counts")
    known = np.expm1(on_map["label_log1p_decay365d_ring0"].to_numpy())
    # the plain map sends them in a circle, and takes what they find there for a hot spot
    assert again(by_counts) > 0.85
    assert over_the_rest(known, by_counts) > 3
    # the model sees little more risk where it sent them than elsewhere, and sends them on
    went, now, fit, model = fed_back(seed, "even exposure")
    assert over_the_rest(expit(at_even_exposure(now, model, fit)), went) < 1.5
    assert again(went) < again(by_counts) - 0.1
