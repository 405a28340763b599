"""The same calls against a real MLflow server: runs, models, registry and decisions over HTTP, and in its own pages."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support import chromium
from support.chromium import PICTURES, needs_chromium
from support.project import ROOT

from pipeline import tracking

WAIT_S = 300.0


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request, empty_mlflow: Path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with contextlib.ExitStack() as running:
        if request.param == "sqlite":
            store = f"sqlite:///{shutil.copy(empty_mlflow, folder)}"
        else:
            store = running.enter_context(postgresql(tmp_path_factory.mktemp("postgresql")))
        port = _free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
        command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--allowed-hosts", f"127.0.0.1:{port}"]
        log = running.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process, folder / "log")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL of our own on a free port, with Debian's binaries, and return the address of a database."""
    places = [*map(str, Path("/usr/lib/postgresql").glob("*/bin")), os.environ["PATH"]]
    initdb, postgres = (shutil.which(name, path=os.pathsep.join(places)) for name in ("initdb", "postgres"))
    if not initdb or not postgres or importlib.util.find_spec("psycopg2") is None:
        pytest.skip("PostgreSQL or psycopg2 is not installed")
    # it will not run as root: an administrator's test drops to a user who owns nothing else
    as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    data = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short, and reachable for that user
    try:
        if as_user:
            os.chown(data, 65534, 65534)
        made = [
            *as_user,
            initdb,
            "-D",
            str(data / "db"),
            "-U",
            "mlflow",
            "-A",
            "trust",
            "--no-sync",
            "--locale=C.UTF-8",
        ]
        subprocess.run(made, check=True, capture_output=True, cwd="/")
        port = _free_port()
        options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(data), "-F"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*as_user, postgres, "-D", str(data / "db"), *options], cwd="/", stdout=log, stderr=log
            )
            try:
                _wait_for_port(port, process, folder / "log")
                yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
            finally:
                process.terminate()
                process.wait(timeout=60)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for_port(port: int, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        with socket.socket() as asking:
            if asking.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)
    raise AssertionError(f"no PostgreSQL on port {port}: {log.read_text()[-3000:]}")


def _wait(address: str, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}/health"):
                return
        except OSError:
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.3)
    raise AssertionError(f"no answer from {address}: {log.read_text()[-3000:]}")


REVIEW = """
from support import finished_stages
from support.finished_stages import MODEL
from pyarrow import csv
from pipeline import tracking
from pipeline.evaluate.plots import figure
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
from pipeline.review import budget, decide, gate, ledger, registry, reviewers
budget.measure = lambda onnx: gate.Used(row_ms=0.02, session_mib=20.0)
reviewers.make_key("reviewer-1")
placed = []
for seed in (1, 2):
    dataset = finished_stages.write(seed=seed, noise=1.0)
    folder = DatasetPaths(dataset).evaluation(MODEL)
    plot = figure.draw("reliability", csv.read_csv(folder / "reliability.csv"), title="a test", marked="TLP:AMBER")
    store.write_bytes(plot, folder / "reliability.png")
    assert tracking.record_pipeline(dataset) == tracking.record_pipeline(dataset)
    compared = decide.compare(dataset, MODEL)
    placed.append(decide.promote(compared, by="reviewer-1", override=None if compared.verdict.passed else "a test"))
decide.rollback("simulated", MODEL, by="reviewer-1", reason="a test")
client = tracking.connect()
champion = client.get_model_version_by_alias("sensor_threat.simulated", "champion")
assert champion.tags["model_digest"] == placed[0].decision.model_digest
assert len(ledger.read(registry.anchors(client))) == 3
print("promoted, promoted, rolled back")
"""


@pytest.fixture(scope="module")
def reviewed(server, tmp_path_factory) -> Path:
    """Return a project whose two models were recorded, promoted and rolled back on the server."""
    folder = tmp_path_factory.mktemp("reviewed")
    shutil.copy(ROOT / "params.yaml", folder)
    done = subprocess.run(
        [sys.executable, "-c", REVIEW],
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": server,
            "CIED_REVIEW_KEYS": str(tmp_path_factory.mktemp("keys")),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'serving'}:{ROOT / 'tests'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("promoted, promoted, rolled back\n"), done.stderr[-4000:]
    return folder


def test_record_promote_and_roll_back_against_a_server(reviewed) -> None:
    assert (reviewed / "approvals/ledger.jsonl").exists()
    assert not (reviewed / tracking.DATABASE).exists()
    assert not (reviewed / "mlruns").exists()


@needs_chromium
def test_its_pages_show_the_runs_a_plot_and_the_champion(server, reviewed, tmp_path) -> None:
    def shown(page: str, picture: str | None = None) -> str:
        address, profile = f"{server}/#/{page}", tmp_path / "profile"
        options = ["--window-size=1400,900", "--virtual-time-budget=20000"]
        if PICTURES and picture:
            shot = tmp_path / picture
            chromium.run(address, profile, *options, f"--screenshot={shot}")
            chromium.keep(shot, tmp_path, picture)
        return chromium.run(address, profile, *options, "--dump-dom").stdout

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("simulated").experiment_id
    newest, *_ = client.search_runs([experiment], "tags.kind = 'model'", order_by=["attributes.start_time DESC"])
    parent = client.get_run(newest.data.tags["mlflow.parentRunId"])
    runs = f"experiments/{experiment}/runs"
    assert parent.info.run_name.startswith("simulated: sensor_threat at ")
    assert parent.info.run_name in shown(runs)

    artifacts = shown(f"{runs}/{newest.info.run_id}/artifacts/evaluation/reliability.png", "mlflow-plot.png")
    assert newest.info.run_name in artifacts
    assert '<img alt="evaluation/reliability.png" src="blob:' in artifacts

    rows = shown("models/sensor_threat.simulated", "mlflow-champion.png").split('role="row"')
    (champion,) = [row for row in rows if 'title="champion"' in row]
    version = client.get_model_version_by_alias("sensor_threat.simulated", "champion")
    assert f"Version {version.version}" in champion
    assert version.tags["model_digest"] in champion


def test_the_server_refuses_a_host_that_it_does_not_know(server) -> None:
    request = urllib.request.Request(
        f"{server}/api/2.0/mlflow/experiments/search?max_results=1", headers={"Host": "elsewhere.example"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    refused.value.close()  # an HTTP error is an open answer
    assert refused.value.code == 403
