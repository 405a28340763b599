"""The plots show what the files say, of the models that matter, the same each time."""

import shutil
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import h3
import lightgbm
import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from PIL import Image
from scipy.special import expit, logit
from support import fit_records
from support.chromium import PICTURES
from support.project import Project

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.plots import curve_points, driver_points, figure, gallery, map_points
from pipeline.model import explain
from pipeline.model.fit_record import SensorFitRecord
from pipeline.model.log_odds import Calibration, LogLinear
from pipeline.storage.marking import Marking

ROWS = 1500
NAMES = ["smooth", "stepped", "always_the_same"]
MARKING = Marking("COMMAND", ("SURVEY",), "AMBER")


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    random = np.random.default_rng(4)
    stepped = random.random(ROWS).astype(np.float32)
    stepped[:100] = np.nan
    columns = [random.normal(size=ROWS).astype(np.float32), stepped, np.ones(ROWS, np.float32)]
    ids = [f"d{i:04}" for i in range(ROWS)]
    return pa.table({"detection_id": ids, **dict(zip(NAMES, columns, strict=True))})


@pytest.fixture(scope="module")
def outcome(rows: pa.Table) -> np.ndarray:
    step = np.nan_to_num(rows["stepped"].to_numpy()) > 0.5
    return np.random.default_rng(5).random(ROWS) < expit(rows["smooth"].to_numpy() - 2 * step)


@pytest.fixture(scope="module")
def fitted(rows: pa.Table, outcome: np.ndarray) -> tuple[lightgbm.Booster, SensorFitRecord]:
    matrix = np.column_stack([rows[name].to_numpy() for name in NAMES])
    quick = {"objective": "binary", "num_leaves": 4, "num_threads": 1, "verbose": -1, "seed": 1}
    # the log-linear part speaks for the first feature, the trees for the others
    alone = {**quick, "interaction_constraints": [[1], [2]]}
    booster = lightgbm.train(alone, lightgbm.Dataset(matrix, outcome, feature_name=NAMES), 20)
    line = {"baseline": LogLinear(-0.5, {"smooth": 3.0}), "calibration": Calibration(0.5, 0.1)}
    return booster, fit_records.sensor_fit(features=NAMES, marking=MARKING, **line)


def test_what_each_feature_adds_sums_to_the_log_odds(rows, fitted) -> None:
    added = explain.contributions(rows, *fitted)
    log_odds = explain.log_odds(rows, *fitted)
    np.testing.assert_allclose(added.sum(axis=1), log_odds - log_odds.mean(), atol=1e-9)


def test_the_features_stand_in_order_with_their_direction(rows, fitted) -> None:
    plots = driver_points.plots(driver_points.drawn(rows, seed=1), *fitted)
    importance = {line["feature"]: line for line in plots["importance"].to_pylist()}
    assert plots["importance"]["feature"].to_pylist() == NAMES
    assert importance["smooth"]["direction"] > 0.9
    assert importance["stepped"]["direction"] < -0.7
    assert importance["always_the_same"] == {
        "feature": "always_the_same",
        "mean_size": 0,
        "direction": 0,
        "gain_share": 0,
        "splits": 0,
    }
    assert sum(line["gain_share"] for line in importance.values()) == pytest.approx(1)
    effects = plots["effects"]
    assert effects.num_rows == driver_points.ROWS * len(NAMES)
    stepped = effects.filter(pa.compute.equal(effects["feature"], "stepped"))
    missing = np.isnan(stepped["value"].to_numpy())
    assert 0 < missing.sum() < 100
    assert np.array_equal(np.isnan(stepped["value_rank"].to_numpy()), missing)
    for name in NAMES:
        added = effects.filter(pa.compute.equal(effects["feature"], name))["added_log_odds"].to_numpy()
        assert np.abs(added).mean() == pytest.approx(importance[name]["mean_size"], abs=1e-6)


def held_out(cutoffs: int) -> pa.Table:
    cells = sorted(h3.grid_disk(h3.latlng_to_cell(-30.0, -15.0, 7), 2))
    moments = [np.datetime64("2022-01-03", "us") + np.timedelta64(14 * i, "D") for i in range(cutoffs)]
    n = cutoffs * len(cells)
    random = np.random.default_rng(6)
    return pa.table(
        {
            "cutoff": pa.array(np.repeat(moments, len(cells)), pa.timestamp("us", "UTC")),
            "cell": cells * cutoffs,
            "label": pa.array((random.random(n) < 0.2).astype(np.int8)),
            "log_odds": random.normal(size=n) * 3 - 2,
        }
    )


@pytest.mark.parametrize(
    ("cutoffs", "shown"),
    [
        (1, ["2022-01-03"]),
        (2, ["2022-01-03", "2022-01-17"]),
        (7, ["2022-01-03", "2022-02-14", "2022-03-28"]),
    ],
)
def test_the_maps_are_of_the_first_the_middle_and_the_last_cutoff(cutoffs, shown) -> None:
    table = held_out(cutoffs)
    points = map_points.points(table, horizon_days=28, zone="UTC")
    assert pa.compute.unique(points["cutoff"]).to_pylist() == shown
    last = table.slice(table.num_rows - 19)
    drawn = points.slice(points.num_rows - 19)
    assert drawn["cell"].to_pylist() == last["cell"].to_pylist()
    assert drawn["event_followed"].to_pylist() == last["label"].to_pylist()
    np.testing.assert_allclose(logit(drawn["probability"].to_numpy()), last["log_odds"].to_numpy())


def test_every_plot_is_a_picture_the_same_each_time(rows, outcome, fitted) -> None:
    smooth = rows["smooth"].to_numpy().astype(np.float64)
    probability = {"lightgbm": expit(smooth), "base_rate": np.full(ROWS, 0.4), "oracle": expit(smooth - 0.1)}
    group = np.arange(ROWS) % 10
    points = {
        **curve_points.of_alarms(outcome, probability, group, bins=10, group_area_m2=300.0),
        **driver_points.plots(rows.slice(0, 200), *fitted),
        "risk_maps": map_points.points(held_out(3), horizon_days=28, zone="UTC"),
    }
    assert set(points) == set(figure.DRAWN)
    for name, table in points.items():
        picture = figure.draw(name, table, title="a test", marked="TLP:AMBER")
        assert picture == figure.draw(name, table, title="a test", marked="TLP:AMBER")
        assert picture != figure.draw(name, table, title="a test", marked="TLP:RED")
        width, height = Image.open(BytesIO(picture)).size
        assert (width, height) == tuple(round(120 * side) for side in figure.SIZE.get(name, figure.USUAL))
        assert len(picture) < 150_000


def test_a_picture_keeps_the_colours_that_it_was_drawn_in() -> None:
    cells = sorted(h3.grid_disk(h3.latlng_to_cell(-30.0, -15.0, 7), 2))
    chances = np.geomspace(1e-4, 0.5, len(cells))
    columns = {"cutoff": ["2022-01-03"] * 19, "horizon_days": [28] * 19, "cell": cells}
    points = pa.table({**columns, "probability": chances, "event_followed": [1] + [0] * 18})
    picture = figure.draw("risk_maps", points, title="a test", marked="TLP:AMBER")
    seen = {colour for _, colour in Image.open(BytesIO(picture)).convert("RGB").getcolors(10**6)}
    wanted = 255 * mpl.colormaps["cividis"](np.linspace(0, 1, 19))[:, :3]
    for colour in [*wanted, (255, 255, 255), (0xD0, 0, 0)]:
        assert min(np.abs(np.subtract(colour, other)).max() for other in seen) <= 4


def test_an_area_model_has_no_operating_curve_nor_has_a_sensor_whose_ground_nobody_measured(outcome) -> None:
    probability = {"lightgbm": np.linspace(0, 1, ROWS)}
    cutoffs = np.repeat(np.arange(10), ROWS // 10).astype("datetime64[D]").astype("datetime64[us]")
    assert "operating" not in curve_points.of_places(outcome, probability, cutoffs, bins=10)
    assert "operating" not in curve_points.of_alarms(outcome, probability, cutoffs, bins=10, group_area_m2=None)


def test_each_plot_is_written_with_its_points(rows, outcome, fitted, tmp_path: Path) -> None:
    booster, fit = fitted
    predictions = pa.table({"detection_id": rows["detection_id"].slice(500)})
    evaluation = Evaluation(
        {}, {"roc": curve_points.roc(outcome, {"lightgbm": np.linspace(0, 1, ROWS)})}, "1,500 alarms"
    )
    gallery.write(tmp_path, evaluation, rows, predictions, booster, fit, named="sensor, here", simulated=True, seed=1)
    names = {"roc", "effects", "importance"}
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("csv", "png")}
    drawn = pyarrow.csv.read_csv(tmp_path / "effects.csv")
    assert drawn.num_rows == 1000 * len(NAMES)
    kept = set(rows["smooth"].to_numpy()[500:].tolist())
    values = drawn.filter(pa.compute.equal(drawn["feature"], "smooth"))["value"].to_numpy()
    assert {float(np.float32(value)) for value in values} <= kept


CURVES = {"reliability", "gain", "lift", "roc", "precision_recall"}
DRIVERS = {"effects", "importance"}


@pytest.mark.parametrize(
    ("model", "names", "shown"),
    [
        ("area_risk_28d", CURVES | DRIVERS | {"risk_maps"}, ["risk_maps"]),
        ("sensor_threat", CURVES | DRIVERS | {"operating"}, ["effects", "operating"]),
    ],
)
def test_the_chain_leaves_every_plot_with_its_points(small_chain: Project, model, names, shown) -> None:
    folder = small_chain.root / "reports/simulated/evaluation" / model
    for kind in ("png", "csv"):
        assert {path.stem for path in folder.glob(f"*.{kind}")} == names
    page = (small_chain.root / "reports/simulated/index.html").read_text()
    for name in names - {"risk_maps"}:  # the page's own map has a slider
        assert b64encode((folder / f"{name}.png").read_bytes()).decode() in page
    for name in shown if PICTURES else []:
        shutil.copy(folder / f"{name}.png", Path(PICTURES) / f"model-{name}.png")
