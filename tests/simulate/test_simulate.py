"""The simulated theatre keeps its promises: same bytes, a bounded stream, an honest oracle, nothing lost on the way."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import h3
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from scipy.special import expit

from pipeline import params
from pipeline.acquire import mirror
from pipeline.model import cells
from pipeline.model.cutoffs import cutoffs_of
from pipeline.simulate import detections, process, scenario, sensors
from pipeline.simulate.events import Recorder
from pipeline.simulate.faults import FAULTS, Columns, add_faulty
from pipeline.simulate.ground import BORDER_STEP_M, Ground, Projection, make_ground
from pipeline.simulate.oracle import Oracle, make_visibility
from pipeline.simulate.partners import PARTNERS, report
from pipeline.simulate.write import write_theatre
from pipeline.storage import store

ROOT = Path(__file__).parents[2]
DECLARED = params.load(ROOT / "params.yaml")
DATASET = DECLARED.dataset("simulated")


def sized(size: Literal["small", "theatre", "large"], *, seed: int) -> params.Simulate:
    return dataclasses.replace(DECLARED.simulate, size=size, seed=seed)


@pytest.fixture(scope="session")
def small() -> scenario.Scenario:
    return scenario.make_scenario(sized("small", seed=7), DATASET)


@pytest.fixture(scope="session")
def ground(small: scenario.Scenario) -> Ground:
    return make_ground(small)


@pytest.fixture(scope="session")
def laws(small: scenario.Scenario, ground: Ground) -> process.Laws:
    return process.make_laws(small, ground)


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theatre")
    write_theatre(sized("small", seed=7), DATASET, raw=folder / "raw", truth=folder / "truth")
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): store.digest(p) for p in folder.rglob("*") if p.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_theatre(theatre: Path, tmp_path: Path) -> None:
    for seed in (7, 8):
        into = tmp_path / str(seed)
        write_theatre(sized("small", seed=seed), DATASET, raw=into / "raw", truth=into / "truth")
    assert digests(tmp_path / "7") == digests(theatre)
    reseeded = digests(tmp_path / "8")
    assert all(reseeded[name] != digest for name, digest in digests(theatre).items())


def test_every_record_states_that_it_is_an_exercise(theatre: Path) -> None:
    for path in (theatre / "raw").rglob("*"):
        if path.is_file():
            lines = path.read_text(encoding="latin-1").splitlines()
            head = 0 if path.suffix == ".jsonl" else 1
            records = [line for line in lines[head:] if line != "]}"]
            assert records and all("EXERCISE" in line or "EJERCICIO" in line for line in records), path


def test_every_file_is_mapped_and_every_mapping_has_its_file(theatre: Path) -> None:
    written = {p.relative_to(theatre / "raw").as_posix() for p in (theatre / "raw").rglob("*") if p.is_file()}

    assert set(mirror.files_of(DATASET, sources=ROOT / "data/sources")) == written


def test_the_truth_covers_every_cell_near_a_place_where_people_live(theatre: Path) -> None:
    places = pd.read_csv(theatre / "raw/ground/places.csv").query("kind in ['town', 'settlement']")
    near = cells.within(
        places["lat"].to_numpy(),
        places["lon"].to_numpy(),
        distance_m=1000 * DATASET.theatre.within_km,
        resolution=DATASET.theatre.h3_resolution,
    )
    truth = pq.read_table(theatre / "truth/intensity.parquet").to_pandas()
    assert {h3.int_to_str(cell) for cell in near} <= set(truth["cell"])
    assert truth["probability_28d"].between(0, 1, inclusive="neither").all()
    assert len(truth) == truth["cell"].nunique() * scenario.SIZES["small"].days


def test_the_truth_covers_the_day_that_begins_at_each_cutoff(theatre: Path) -> None:
    declared = params.load(ROOT / "params.yaml")
    days = pq.read_table(theatre / "truth/intensity.parquet", columns=["day"])["day"].unique().to_numpy()
    for horizon in (7, 28, 84):
        cutoffs = cutoffs_of(declared.area_task("simulated", f"area_risk_{horizon}d"))
        assert np.isin(cutoffs[:-1], days).all()  # the truth ends before the last


def test_a_simulated_theatre_whose_days_are_not_those_of_its_partners_is_refused() -> None:
    elsewhere = dataclasses.replace(DATASET, theatre=dataclasses.replace(DATASET.theatre, zone="Etc/GMT+1"))
    with pytest.raises(ValueError, match=r"theatre\.zone of a simulated dataset: got Etc/GMT\+1; expected UTC"):
        scenario.make_scenario(sized("small", seed=7), elsewhere)


def test_metres_to_degrees_and_back_are_the_same_points() -> None:
    projection = Projection(-30.0, -15.0)
    points_m = np.array([[0.0, 0.0], [40_000.0, -25_000.0]])
    np.testing.assert_allclose(projection.metres(*projection.degrees(points_m)), points_m, atol=1e-6)


def test_hazards_lie_on_roads_and_in_their_cell(theatre: Path, ground: Ground) -> None:
    hazards = pq.read_table(theatre / "truth/hazards.parquet").to_pandas()
    at_m = ground.projection.metres(hazards["latitude_deg"].to_numpy(), hazards["longitude_deg"].to_numpy())
    gap_m = np.min(np.hypot(*(at_m[:, None] - ground.roads_m[None]).transpose(2, 0, 1)), axis=1)
    assert gap_m.max() < 60 * 6
    assert np.mean(ground.cells[ground.cell_of(at_m)] == hazards["cell"]) > 0.9


def test_the_number_of_hazards_agrees_with_their_intensity(small: scenario.Scenario, laws: process.Laws) -> None:
    long = dataclasses.replace(small, size=dataclasses.replace(small.size, days=3000))
    expected = counted = 0.0
    for day in process.run(long, laws):
        expected += float(day.intensity.sum())
        counted += len(day.cell)
    # a martingale: the deviation of the difference is the root of the expected number
    assert abs(counted - expected) < 4 * np.sqrt(expected)


def test_a_week_has_busy_days_and_a_day_of_rest_in_hazards_and_in_traffic(laws: process.Laws, theatre: Path) -> None:
    assert np.mean(process.WEEKDAYS) == pytest.approx(1)
    weeks = np.array([laws.rhythm(day) / laws.season(day) for day in range(-7, 364)]).reshape(-1, 7)
    np.testing.assert_allclose(weeks, np.tile(process.WEEKDAYS, (len(weeks), 1)))
    rows = pd.read_csv(theatre / "raw/command/observaciones.csv", sep=";", decimal=",", encoding="latin-1")
    counts = rows[rows["tipo"] == "tráfico"]
    first = pd.Timestamp(DECLARED.simulate.until) - pd.Timedelta(days=scenario.SIZES["small"].days)
    weekday = (pd.to_datetime(counts["fecha"], format="%d/%m/%Y") - first).dt.days % 7
    mean = counts["valor"].groupby(weekday).mean()
    assert list(mean.index) == [2, 6]
    assert mean[6] / mean[2] == pytest.approx(process.WEEKDAYS[6] / process.WEEKDAYS[2], rel=0.05)


def test_a_hazard_brings_others_near_and_soon(laws: process.Laws) -> None:
    cells = len(laws.background)
    where = int(np.argmax(laws.road_share))
    hazard = np.zeros(cells)
    hazard[where] = 1
    excitation = process.next_excitation(laws, np.zeros(cells), hazard)
    brought = []
    for _ in range(200):
        brought.append(excitation)
        excitation = process.next_excitation(laws, excitation, np.zeros(cells))
    total = np.sum(brought, axis=0)
    assert total.sum() == pytest.approx(process.BRANCHING, rel=1e-4)
    far = np.hypot(*(laws.campaigns.centres.data - laws.campaigns.centres.data[where]).T) > 3 * process.SPREAD_M
    assert total[far].sum() == 0
    assert np.sum(brought[:28]) > 0.8 * total.sum()


def test_patrols_keep_their_hours_and_follow_what_came_to_light(laws: process.Laws) -> None:
    calm = process.plan_patrols(laws, np.zeros(len(laws.background)))
    where = int(np.argmax(laws.road_share))
    alarm = np.zeros(len(laws.background))
    alarm[where] = 5
    alarmed = process.plan_patrols(laws, alarm)
    assert alarmed.sum() == pytest.approx(calm.sum())
    assert alarmed[where] > calm[where]
    assert (calm[laws.road_share == 0] == 0).all()


def test_campaigns_end(laws: process.Laws) -> None:
    first = int(laws.campaigns.starts[laws.campaigns.starts > 0][0]) + 1
    last = first + 400
    started = np.flatnonzero(laws.campaigns.starts <= first)
    assert (laws.campaigns.stops[started] <= last).mean() > 0.8
    assert not np.allclose(laws.campaigns.intensity(first), laws.campaigns.intensity(last))


def test_the_area_oracle_is_calibrated_and_better_than_the_base_rate() -> None:
    known = scenario.make_scenario(sized("small", seed=3), DATASET)
    known = dataclasses.replace(known, size=dataclasses.replace(known.size, days=2400))
    ground = make_ground(known)
    laws = process.make_laws(known, ground)
    oracle = Oracle(laws, make_visibility(known, ground), (28,))
    recorder, forecasts = Recorder(known, ground, laws), {}
    for day in process.run(known, laws):
        recorder.add(day)
        if day.number >= 0 and day.number % 28 == 0:
            forecasts[day.number] = oracle.outlook([day])[28][:, 0]
        else:
            oracle.pass_over(day)
    label = reported_events(recorder.happenings().events, known, ground)
    starts = [start for start in forecasts if start + 28 <= 2350]
    happened = np.array([np.isin(np.arange(len(ground.cells)), label(start, start + 28)) for start in starts])
    forecast = np.array([forecasts[start] for start in starts])
    assert forecast.mean() == pytest.approx(happened.mean(), rel=0.15)
    top = forecast >= np.quantile(forecast, 0.98)
    assert forecast[top].mean() == pytest.approx(happened[top].mean(), rel=0.15)
    assert log_loss(forecast, happened) < 0.7 * log_loss(np.full(forecast.shape, happened.mean()), happened)


def reported_events(events: pd.DataFrame, known: scenario.Scenario, ground: Ground):  # type: ignore[no-untyped-def]
    """Return a function from a period to the cells in which an event was reported, each event placed once."""
    reports = pd.concat([report(partner, events, known, ground) for partner in PARTNERS])
    withdrawn = set(reports.loc[reports["status"] == "withdrawal", "record_id"])
    usable = reports["hazard"].isin(["ied", "mine"]) & reports["event_type"].isin(["explosion", "found_cleared"])
    usable &= (reports["precision"] != "week") & ~reports["record_id"].isin(withdrawn)
    reports = reports[usable].sort_values("reported_day")
    reports = reports.assign(event=reports["event_id"].fillna(reports["record_id"])).drop_duplicates(
        "event", keep="last"
    )
    cell, day = ground.cell_of(reports[["x_m", "y_m"]].to_numpy()), reports["day"].to_numpy()
    return lambda start, end: cell[(day >= start) & (day < end)]


def log_loss(probability: npt.NDArray[np.float64], happened: npt.NDArray[np.bool_]) -> float:
    return float(-np.mean(np.log(np.where(happened, probability, 1 - probability))))


def test_no_one_reports_what_is_still_to_come(small: scenario.Scenario, theatre: Path) -> None:
    rows = pd.read_csv(theatre / "raw/monitor/tips.csv")
    assert (pd.to_datetime(rows["logged"]).dt.tz_localize(None) >= pd.to_datetime(rows["heard"])).all()
    for partner, name, happened, reported in (
        ("M", "mine_action/accidents.jsonl", "date", "reported_at"),
        ("K", "mine_action/clearance.jsonl", "completed", "reported_at"),
    ):
        records = [json.loads(line) for line in (theatre / "raw" / name).read_text().splitlines()]
        good = [r for r in records if r["id"] and r["id"][:2] != f"{partner}X"]
        assert len(good) > 10
        assert all(r[reported] >= r[happened] for r in good)
        assert all(r[reported] < "2023-01-01" for r in good)


def test_partners_correct_withdraw_and_repeat(laws: process.Laws, small: scenario.Scenario, ground: Ground) -> None:
    recorder = Recorder(small, ground, laws)
    for day in process.run(small, laws):
        recorder.add(day)
    events = recorder.happenings().events
    monitor = next(partner for partner in PARTNERS if partner.name == "monitor")
    busy = dataclasses.replace(monitor, invented_per_cell_day=2e-3, repeated=0.2, corrected=0.3, withdrawn=0.5)
    reports = report(busy, events, small, ground)
    assert set(reports["status"]) == {"report", "correction", "withdrawal"}
    assert reports.loc[reports["status"] == "withdrawal", "event_id"].isna().all()
    first = reports[reports["status"] == "report"].set_index("record_id")
    assert first.index.is_unique
    assert first["event_id"].dropna().duplicated().any()
    corrected = reports[(reports["status"] == "correction") & reports["record_id"].isin(first.index)]
    assert (corrected["reported_day"].to_numpy() > first.loc[corrected["record_id"], "reported_day"].to_numpy()).all()
    true = events.set_index("event_id")
    real = corrected[corrected["event_id"].notna()]
    off_m = np.hypot(*(real[["x_m", "y_m"]].to_numpy() - true.loc[real["event_id"], ["x_m", "y_m"]].to_numpy()).T)
    assert np.sqrt(np.mean(off_m**2) / 2) == pytest.approx(busy.error_m / 2, rel=0.3)


def test_each_fault_is_in_the_file_at_the_row_that_the_truth_names(theatre: Path) -> None:
    faults = pq.read_table(theatre / "truth/faults.parquet").to_pandas()
    lines = (theatre / "raw/mine_action/accidents.jsonl").read_text().splitlines()
    of_file = faults[faults["raw_file"] == "mine_action/accidents.jsonl"].set_index("fault")
    assert set(of_file.index) == set(FAULTS)
    faulty = {fault: json.loads(lines[int(of_file.loc[fault, "raw_row"]) - 1]) for fault in FAULTS}
    assert faulty["swapped_coordinates"]["lat"] > -20
    assert faulty["zero_coordinates"]["lat"] == faulty["zero_coordinates"]["lon"] == 0
    assert faulty["no_such_day"]["date"] == "2021-02-30"
    assert faulty["unknown_word"]["event"] == "???"
    assert faulty["no_key"]["id"] is None


def test_the_border_encloses_every_cell_and_a_point_put_across_lies_well_outside(ground: Ground) -> None:
    edge = shapely.Polygon(ground.border_m)
    assert edge.is_valid and shapely.contains_xy(edge, ground.centre_m).mean() > 0.99
    assert (np.hypot(*np.diff(ground.border_m, axis=0).T) <= BORDER_STEP_M).all()
    away = shapely.points(ground.across_border(ground.roads_m, 15_000.0))
    assert (shapely.distance(edge, away) > 10_000).all()


def test_faulty_rows_come_on_top_and_change_no_other_row(ground: Ground) -> None:
    rows = pd.DataFrame({"k": [f"A{n}" for n in range(50)], "y": -30.0, "x": -15.0, "d": "2020-01-01", "w": "a"})
    merged, faults = add_faulty(rows, Columns("k", "y", "x", "d", "2020-02-30", "w"), ground, np.random.default_rng(1))
    assert len(merged) == 50 + len(faults)
    left = merged.drop(index=faults["raw_row"] - 1).reset_index(drop=True)
    pd.testing.assert_frame_equal(left, rows.astype(object))


def test_bounded_readings_stand_for_the_unbounded_ones() -> None:
    behind = np.random.default_rng(1).normal(0, 1, (500, len(sensors.READINGS)))
    np.testing.assert_allclose(sensors.unbounded(sensors.bounded(behind)), behind, atol=5e-3)


def test_the_sensor_oracle_is_calibrated_whatever_is_missing() -> None:
    random = np.random.default_rng(5)
    prior = random.beta(1, 5, 60_000)
    lane = random.normal(0, 1, (len(prior), 3))
    alarms = sensors.sense(prior, lane, random.normal(0, 1, len(prior)), base_rate=float(prior.mean()), random=random)
    probability = expit(alarms.log_odds)
    emi, gpr = np.isnan(alarms.readings[:, 1]), np.isnan(alarms.readings[:, 3])
    for rows in (emi & gpr, emi & ~gpr, ~emi & gpr, ~emi & ~gpr):
        for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 1.0)):
            mask = rows & (probability >= low) & (probability < high)
            expected = probability[mask]
            deviation = np.sqrt(np.sum(expected * (1 - expected)))
            assert abs(alarms.is_hazard[mask].sum() - expected.sum()) <= 4 * deviation
    gain = log_loss(np.full(len(prior), prior.mean()), alarms.is_hazard) - log_loss(probability, alarms.is_hazard)
    assert gain > 0.3 * log_loss(np.full(len(prior), prior.mean()), alarms.is_hazard)


def test_detections_are_readable_by_modality_range(theatre: Path) -> None:
    rows = pd.read_csv(theatre / "raw" / detections.FILE)
    good = rows[~rows["record_id"].str.startswith("X")]
    assert len(good) == scenario.SIZES["small"].alarms
    for name, measured in params.load(ROOT / "params.yaml").measured("simulated").items():
        present = good[name].dropna()
        assert present.between(measured.low, measured.high).all()
        assert (len(present) == len(good)) == measured.required
    emi = good["modality"].str.contains("emi")
    assert (emi == good["emi_in_phase"].notna()).all() and 0 < emi.mean() < 1
    known = good["outcome"] != "unknown"
    assert (good["outcome_at"].notna() == known).all()
    truth = pq.read_table(theatre / "truth/detections.parquet").to_pandas().set_index("record_id")
    is_hazard = truth.loc[good.loc[known, "record_id"], "is_hazard"].to_numpy()
    assert (is_hazard == (good.loc[known, "outcome"] == "hazard")).all()


def test_any_number_of_alarms_is_written_chunk_by_chunk(
    small: scenario.Scenario, ground: Ground, laws: process.Laws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    sense = sensors.sense

    def watched(prior: npt.NDArray[np.float64], *given, **options):  # type: ignore[no-untyped-def]
        sizes.append(len(prior))
        return sense(prior, *given, **options)

    monkeypatch.setattr(sensors, "sense", watched)
    monkeypatch.setattr(detections, "CHUNK_ALARMS", 250)
    lanes = detections.make_lanes(small, ground, laws)
    prior = np.full((60, len(lanes.cell)), 0.2)
    count = detections.write_detections(small, ground, lanes, prior, raw=tmp_path, truth=tmp_path)
    assert sizes == [200, 200, 200] and count == 600
    rows = pd.read_csv(tmp_path / detections.FILE)
    good = rows[~rows["record_id"].str.startswith("X")]
    assert good["record_id"].is_unique and len(good) == 600
    assert good["observed_at"].is_monotonic_increasing


def test_the_large_theatre_has_the_size_it_promises() -> None:
    large = scenario.make_scenario(sized("large", seed=7), DATASET)
    ground = make_ground(large)
    assert large.size.days >= 3650 and large.size.alarms == 100_000_000
    assert len(ground.cells) == pytest.approx(50_000, rel=0.02)
    bounds = DATASET.theatre.bounds
    latitude, longitude = ground.projection.degrees(ground.centre_m)
    assert bounds.south_deg < latitude.min() and latitude.max() < bounds.north_deg
    assert bounds.west_deg < longitude.min() and longitude.max() < bounds.east_deg
