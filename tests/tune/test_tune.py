"""A search for better values looks at the training period only, repeats nothing, and says what may be made of it."""

import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from scipy.special import expit
from support import area_case
from support.area_case import CENTRE, ROLLING, day, incident, observations, places, settlement

from pipeline import params
from pipeline.params import Bound
from pipeline.runtime.errors import DeclarationError, StageError
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.versions import as_it_stood
from pipeline.train import area_risk
from pipeline.tune import __main__ as command
from pipeline.tune import search, summary, training_period, trials
from pipeline.validation import origins
from pipeline.validation.bootstrap import mean_difference
from pipeline.validation.metrics import row_log_loss

ROOT = Path(__file__).parents[2]
CELLS = sorted(h3.grid_disk(CENTRE, 2))
MODEL, DATASET = "area_risk_28d", "simulated"
PATHS = DatasetPaths(DATASET)
Rows = list[dict[str, Any]]


def declared_text() -> str:
    """Return params.yaml with the small theatre of `area_case` in place of the simulated one, and quick fits."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    dataset = values["datasets"][DATASET]
    dataset["theatre"] = {
        "bounds": dataclasses.asdict(area_case.THEATRE.bounds),
        "h3_resolution": area_case.RESOLUTION,
        "within_km": area_case.THEATRE.within_km,
        "zone": area_case.THEATRE.zone,
    }
    days = {name: str(getattr(ROLLING, name)) for name in ("history_from", "train_from", "test_from", "test_until")}
    label = dataclasses.asdict(area_case.LABEL)
    models = dataset["models"]
    area = models[MODEL] | {**days, "label": label, "retrain_every_days": 56}
    dataset["models"] = {MODEL: area, "sensor_threat": models["sensor_threat"]}
    values["features"]["area_risk"] = dataclasses.asdict(area_case.FEATURES)
    values["train"][MODEL] |= {"rounds": [5, 15], "calibration_blocks": 2, "min_data_in_leaf": 5}
    values["tune"] |= {"retrain_periods": 2, "trials": 3}
    values["tune"]["area_risk"]["min_data_in_leaf"] = {"low": 2, "high": 40, "scale": "log"}
    return str(yaml.safe_dump(values, sort_keys=False))


def happened() -> Rows:
    """Return incidents of a year and a half, three of four of them in the cells around the centre."""
    rng = np.random.default_rng(7)
    days = np.arange(np.datetime64("2020-01-01"), np.datetime64("2021-06-01"), np.timedelta64(2, "D"))
    near = h3.grid_disk(CENTRE, 1)
    return [
        incident(f"i{n}", str(at), cell=str(rng.choice(near if rng.random() < 0.75 else CELLS)))
        for n, at in enumerate(days)
    ]


def write_tables(incidents: Rows, observed: Rows | None = None, ground: Rows | None = None) -> None:
    ground = ground or [settlement()]
    for name, table in {
        "incidents": area_case.incidents(*incidents),
        "observations": observations(*(observed or [])),
        "places": places(*ground),
    }.items():
        PATHS.tables.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, PATHS.tables / f"{name}.parquet")


@pytest.fixture
def theatre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return, as the working folder, a project with tables and params.yaml and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(declared_text())
    write_tables(happened())
    return tmp_path


@pytest.fixture
def tune(theatre: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, bytes]]:
    """Return what runs the command, and returns the files that it leaves."""

    def run(*arguments: str, model: str = MODEL) -> dict[str, bytes]:
        monkeypatch.setattr(sys, "argv", ["tune", "--dataset", DATASET, "--model", model, *arguments])
        command.main()
        return {path.suffix: path.read_bytes() for path in PATHS.tuning(MODEL).parent.iterdir()}

    return run


def forget() -> None:
    for path in PATHS.tuning(MODEL).parent.iterdir():
        path.unlink()


def test_nothing_that_happened_or_became_known_after_the_test_began_changes_a_byte(
    tune: Callable[..., dict[str, bytes]],
) -> None:
    before, begins = tune(), day("2021-01-01")
    assert set(before) == {".csv", ".parquet"}
    known = [row for row in happened() if row["available_at"] <= begins]
    elsewhere = CELLS[0]
    later = [
        incident("other", "2021-02-01", cell=elsewhere),
        incident("late", "2020-10-01", cell=elsewhere, known="2021-01-02"),
        *(incident(f"flood {n}", "2021-01-03", cell=cell) for n, cell in enumerate(CELLS * 3)),
    ]
    # what was known is corrected, or withdrawn, once the test has begun
    corrected = [{**row, "superseded_at": day("2021-01-05")} for row in known]
    moved = [{**row, "latitude_deg": row["latitude_deg"] + 1.0, "available_at": day("2021-01-05")} for row in known]
    patrol = {"kind": "patrol", "value": 9.0, "occurred_at": day("2021-01-04"), "occurred_precision": "day"}
    at = {"latitude_deg": 4.6, "longitude_deg": -74.1, "available_at": day("2021-01-05")}
    town = settlement(h3.latlng_to_cell(6.0, -75.0, area_case.RESOLUTION), known="2021-01-05")
    write_tables([*corrected, *moved, *later], [{**patrol, **at}], [settlement(), town])
    forget()
    assert tune() == before
    # and a single report that was known in time does
    write_tables([*happened(), incident("in time", "2020-12-01", cell=elsewhere)])
    forget()
    assert tune() != before


def test_nothing_of_the_tuned_period_chooses_the_cells_or_fits_the_process_whose_rate_is_a_feature(
    theatre: Path,
) -> None:
    declared = params.load()
    rows = training_period.read(declared, PATHS, MODEL, retrain_periods=2)
    begins = day("2020-09-11")
    earlier = [row for row in happened() if row["available_at"] <= begins]
    write_tables([*earlier, *(incident(f"flood {n}", "2020-09-20", cell=CELLS[n]) for n in (0, 0, 1, 1))])
    other = training_period.read(declared, PATHS, MODEL, retrain_periods=2)
    assert rows.table["cell"].equals(other.table["cell"])
    names = ["cutoff", *rows.columns.names]
    before, after = (
        some.table.filter(pa.compute.less_equal(some.table["cutoff"], pa.scalar(begins))).select(names)
        for some in (rows, other)
    )
    assert before.equals(after)
    assert rows.digest() != other.digest()


def test_a_search_that_was_killed_goes_on_where_it_stood(
    tune: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tried, score = tune(), [], search.score
    forget()

    def killed_at_the_third(rows: search.TrainingPeriod, settings: params.AreaBoosting, *, bins: int) -> search.Score:
        if len(tried) == 2:
            raise KeyboardInterrupt
        tried.append(settings)
        return score(rows, settings, bins=bins)

    monkeypatch.setattr(search, "score", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        tune()
    assert len(trials.read(PATHS.tuning(MODEL).with_suffix(".parquet"))) == 2
    tried.clear()
    assert tune() == whole
    assert len(tried) == 2
    tried.clear()
    tune("--trials", "4")  # begins with the same three
    assert len(tried) == 1
    tried.clear()
    assert tune()[".csv"] == whole[".csv"]
    assert not tried


def test_the_command_that_it_prints_sets_what_was_tried(
    tune: Callable[..., dict[str, bytes]], theatre: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tune()
    printed = capsys.readouterr().out.splitlines()
    assert printed[-3].startswith("The best of 3 flatters")
    rows = pa_csv.read_csv(pa.BufferReader(files[".csv"])).to_pylist()
    assert [row["log_loss"] for row in rows] == sorted(row["log_loss"] for row in rows)
    best = next(row["trial"] for row in rows if row["trial"])
    declared = params.load()
    candidates = search.candidates(
        declared.train.area_risk[MODEL], declared.tune.area_risk, trials=3, seed=declared.tune.seed
    )
    words = shlex.split(printed[-1])
    assert words[:5] == ["python", "-m", "pipeline.select_dataset", DATASET, "&&"]
    apply_overrides(theatre / "params.yaml", [word for word in words if word.startswith("train.")])
    assert params.load().train.area_risk[MODEL] == candidates[best] != candidates[0]


def test_candidates_lie_within_their_bounds_and_come_of_the_seed_alone() -> None:
    declared = params.load(ROOT / "params.yaml")
    present, bounds = declared.train.area_risk[MODEL], declared.tune.area_risk
    drawn = search.candidates(present, bounds, trials=200, seed=7)
    assert drawn[0] == present
    for name, bound in bounds.items():
        values = [getattr(candidate, name) for candidate in drawn[1:]]
        assert bound.low <= min(values) < max(values) <= bound.high
        assert {type(value) for value in values} == {type(getattr(present, name))}
    fixed = {field.name for field in dataclasses.fields(present)} - set(bounds)
    assert all(getattr(candidate, name) == getattr(present, name) for candidate in drawn for name in fixed)
    assert search.candidates(present, bounds, trials=20, seed=7) == drawn[:21]
    assert search.candidates(present, bounds, trials=20, seed=8)[1:] != drawn[1:21]


def test_whole_numbers_at_the_ends_are_drawn_as_often_as_those_between() -> None:
    present = params.load(ROOT / "params.yaml").train.area_risk[MODEL]
    drawn = search.candidates(present, {"num_leaves": Bound(2, 5)}, trials=4000, seed=1)[1:]
    counts = np.unique([candidate.num_leaves for candidate in drawn], return_counts=True)
    assert counts[0].tolist() == [2, 3, 4, 5]
    assert counts[1].min() > 900


def test_the_difference_and_its_interval_are_those_of_the_rows(theatre: Path) -> None:
    declared = params.load()
    rows = training_period.read(declared, PATHS, MODEL, retrain_periods=2)
    present = declared.train.area_risk[MODEL]
    tried = [present, dataclasses.replace(present, num_leaves=8, learning_rate=0.1)]
    scores = [search.score(rows, settings, bins=5) for settings in tried]
    held_out = [area_risk.train(rows.table, rows.columns, rows.task, settings)[1] for settings in tried]
    outcome = held_out[0]["label"].to_numpy() == 1
    losses = [row_log_loss(outcome, expit(one["log_odds"].to_numpy())) for one in held_out]
    blocks, settings = origins.blocks(held_out[0]["cutoff"].to_numpy(), horizon_days=28), declared.evaluate
    assert len(np.unique(blocks)) < len(scores[0].by_cutoff)
    expected = mean_difference(losses[1], losses[0], blocks, samples=settings.bootstrap_samples, seed=settings.seed)
    rows = summary.table(tried, scores, ["num_leaves"], settings).to_pylist()
    (row,) = [row for row in rows if row["trial"] == 1]
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(dataclasses.astuple(expected), rel=1e-9)
    (itself,) = [row for row in rows if row["trial"] == 0]
    assert (itself["difference"], itself["low"], itself["high"]) == (0, 0, 0)
    assert itself["log_loss"] == pytest.approx(losses[0].mean())


def test_the_verdict_on_the_best_follows_its_interval(theatre: Path) -> None:
    declared = params.load()
    present, task = declared.train.area_risk[MODEL], declared.area_task(DATASET, MODEL)
    noise = np.array([0.02, -0.02] * 6)
    verdicts = {}
    for name, shift in {"better": -0.1 + 0 * noise, "perhaps": -0.001 + noise, "worse": 0.1 + noise}.items():
        scores = [
            search.Score(float(loss.mean()), 0.5, loss, np.arange(12)) for loss in (np.full(12, 0.5), 0.5 + shift)
        ]
        result = summary.table([present, present], scores, ["num_leaves"], declared.evaluate)
        verdicts[name] = summary.lines(result, ["num_leaves"], task, dataset=DATASET, model=MODEL)[-4]
    assert verdicts["better"] == "Trial 1 is better than params.yaml on this period, by the whole of its interval."
    assert verdicts["perhaps"].startswith("Trial 1 leads, but its interval holds 0")
    assert verdicts["worse"] == "No try beats params.yaml."


def test_the_tuned_period_ends_where_the_test_begins_and_leaves_something_to_learn_from() -> None:
    shifted = training_period.shift(ROLLING, retrain_periods=2)
    assert (str(shifted.test_from), shifted.test_until) == ("2020-09-11", ROLLING.test_from)
    assert dataclasses.replace(shifted, test_from=ROLLING.test_from, test_until=ROLLING.test_until) == ROLLING
    with pytest.raises(
        StageError, match=r"tune\.retrain_periods: 7 periods of 56 days before 2021-01-01 begin on 2019"
    ):
        training_period.shift(ROLLING, retrain_periods=7)


def test_a_table_as_it_stood_has_the_versions_of_that_day() -> None:
    first = {**incident("i", "2020-03-01", known="2020-03-02"), "superseded_at": day("2020-06-01")}
    corrected = incident("i", "2020-03-03", known="2020-06-01")
    withdrawn = {**incident("j", "2020-03-01", known="2020-03-02"), "superseded_at": day("2020-04-01")}
    table = area_case.incidents(first, corrected, withdrawn)

    def at(moment: str) -> list[tuple[str, str, str | None]]:
        return [
            (
                row["incident_id"],
                f"{row['occurred_at']:%m-%d}",
                row["superseded_at"] and f"{row['superseded_at']:%m-%d}",
            )
            for row in as_it_stood(table, day(moment)).to_pylist()
        ]

    assert at("2020-03-01") == []
    assert at("2020-05-01") == [("i", "03-01", None), ("j", "03-01", "04-01")]
    assert at("2020-06-01") == [("i", "03-01", "06-01"), ("i", "03-03", None), ("j", "03-01", "04-01")]
    assert as_it_stood(table, day("2020-05-01")).schema == table.schema


def test_what_cannot_be_searched_for_is_named(tune: Callable[..., dict[str, bytes]]) -> None:
    with pytest.raises(DeclarationError, match=r"sensor_threat is not of area risk"):
        tune(model="sensor_threat")
    with pytest.raises(DeclarationError, match="the search: trials: got 0; input should be greater than or equal to 1"):
        tune("--trials", "0")
    (PATHS.tables / "places.parquet").unlink()
    with pytest.raises(StageError, match=r"places\.parquet: no such file"):
        tune()
