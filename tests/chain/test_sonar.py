"""A dataset of one sensor, without ground, places or groups: the whole chain runs on it, and says that it flatters."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.project import Project, copy_of_the_project

from pipeline.features.sensor_threat import _at_random
from threat_scorer.scoring.features import BANDS, RowAssembler, assemble

PARTS = ("models/sonar/bundle/sensor_threat.onnx", "reports/sonar/index.html", "reports/sonar/metrics.json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which the chain has run on made echoes: a cylinder is louder in the middle bands."""
    random = np.random.default_rng(0)
    metal = np.arange(120) % 2 == 0
    energy = random.random((120, 60)) * 0.6
    energy[metal, 20:30] += 0.25
    lines = [",".join([f"b{n}" for n in range(1, 61)] + ["label"])]
    lines += [
        ",".join([*(f"{value:.4f}" for value in row), "M" if m else "R"]) for row, m in zip(energy, metal, strict=True)
    ]
    mirror = tmp_path_factory.mktemp("mirror")
    (mirror / "sonar").mkdir()
    text = ("\n".join(lines) + "\n").encode()
    (mirror / "sonar/sonar.csv").write_bytes(text)
    (mirror / "SHA256SUMS").write_text(f"{hashlib.sha256(text).hexdigest()}  sonar/sonar.csv\n")
    project = copy_of_the_project(tmp_path_factory.mktemp("sonar"))
    project.edit("params.yaml", "rounds: 400 ", "rounds: 5 ")
    project.edit("params.yaml", "random_rows: 20000", "random_rows: 1000")
    mirrored = {"DATA_MIRROR": str(mirror)}
    project.succeed(sys.executable, "-m", "pipeline.select_dataset", "sonar", **mirrored)
    project.succeed("dvc", "repro", **mirrored)
    return project


def test_the_whole_chain_runs_without_a_theatre(finished: Project) -> None:
    for part in PARTS:
        assert (finished.root / part).exists(), part
    assert not (finished.root / "models/sonar/area_risk_28d").exists()
    shown = finished.succeed(sys.executable, "-m", "pipeline.report", "--dataset", "sonar", "--show")
    assert "sensor_threat" in shown


def test_results_on_random_groups_are_marked_as_flattering(finished: Project) -> None:
    results = json.loads((finished.root / "reports/sonar/metrics.json").read_text())["sensor_threat"]["sonar"]
    assert results["groups"] == 20
    assert results["repeated"]["repeats"] == 10
    assert "random" in results["repeated"]["flattering"]
    assert results["repeated"]["accuracy"] > 0.8
    out = finished.root / "out"
    finished.succeed(sys.executable, "-m", "pipeline.report", "documents", "sonar", "--out", str(out))
    page = (out / "results.md").read_text()
    assert "| random groups held out: **flattering** |" in page
    assert f"| no groups are known: **flattering** | {results['repeated']['accuracy']:.4f} |" in page


def test_a_device_scores_an_echo(finished: Project, tmp_path: Path) -> None:
    loud = {band: 0.55 if 20 <= n < 30 else 0.3 for n, band in enumerate(BANDS)}
    faint = dict.fromkeys(BANDS, 0.3)
    (tmp_path / "echoes.jsonl").write_text("".join(json.dumps(echo) + "\n" for echo in (loud, faint)))
    script = (
        "from threat_scorer import Scorer; import json, sys; scorer = Scorer.load('models/sonar/bundle'); "
        "print(json.dumps([scorer.score_record('sensor_threat', json.loads(line)).probability "
        f"for line in open({str(tmp_path / 'echoes.jsonl')!r})]))"
    )
    first, second = json.loads(finished.succeed(sys.executable, "-c", script).splitlines()[-1])
    assert first > second


def test_the_hats_of_a_band_are_a_curve_of_straight_pieces() -> None:
    columns = {band: np.array([0.0, 0.25, 1 / 3, 0.9, 1.2, 0.5]) for band in BANDS}
    names, matrix = assemble("sensor_threat", columns)
    first = names.index("band_01_hat_0")
    hats = matrix[:, first : first + 4].astype(np.float64)
    knots = hats @ np.arange(4) / 3
    np.testing.assert_allclose(knots, [0, 0.25, 1 / 3, 0.9, 1, 0.5], atol=1e-6)
    np.testing.assert_allclose(hats.sum(axis=1), 1, atol=1e-6)
    row = np.empty(len(names), np.float32)
    alone = RowAssembler("sensor_threat", BANDS)
    for n in range(6):
        alone([float(columns[band][n]) for band in BANDS], row)
        np.testing.assert_array_equal(row, matrix[n])
    values = [float("nan"), *([0.5] * 59)]
    alone(values, row)
    assert np.isnan(row[first : first + 4]).all()
    assert not np.isnan(row[first + 4 :]).any()


def test_energy_and_shape_of_a_window_are_its_moments_alone_and_among_others() -> None:
    energies = np.random.default_rng(1).random((5, 60))
    energies[1] = 0
    names, matrix = assemble("sensor_threat", dict(zip(BANDS, energies.T, strict=True)))
    first = names.index("band_energy")
    at = (np.arange(60) + 0.5) / 60
    used = energies.astype(np.float32).astype(np.float64)
    for row in (0, 2):
        centroid = np.average(at, weights=used[row])
        spread = np.sqrt(np.average((at - centroid) ** 2, weights=used[row]))
        np.testing.assert_allclose(matrix[row, first : first + 3], [used[row].mean(), centroid, spread], rtol=1e-6)
    np.testing.assert_array_equal(matrix[1, first : first + 3], 0)
    row, alone = np.empty(len(names), np.float32), RowAssembler("sensor_threat", BANDS)
    for n in range(5):
        alone(energies[n].tolist(), row)
        np.testing.assert_array_equal(row, matrix[n])


def test_random_groups_each_have_their_part_of_every_outcome() -> None:
    outcome = pa.array(["hazard", "clutter", "clutter"] * 40)
    groups = np.array(_at_random(outcome, 10).to_pylist())
    hazard = np.array(outcome.to_pylist()) == "hazard"
    assert [int(hazard[groups == name].sum()) for name in np.unique(groups)] == [4] * 10
