"""The same calls against a real MLflow server: runs, models, registry and decisions over HTTP."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from project import ROOT

from pipeline import tracking

WAIT_S = 300.0


@pytest.fixture(scope="module")
def server(empty_mlflow: Path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    database = shutil.copy(empty_mlflow, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--allowed-hosts", f"127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process, folder / "log")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


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
import finished_stages
from finished_stages import MODEL
from pipeline import tracking
from pipeline.review import decide, ledger, registry, reviewers
reviewers.make_key("reviewer-1")
placed = []
for seed in (1, 2):
    dataset = finished_stages.write(seed=seed, noise=1.0)
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


def test_record_promote_and_roll_back_against_a_server(server, workspace, tmp_path_factory) -> None:
    (workspace / tracking.DATABASE).unlink()
    done = subprocess.run(
        [sys.executable, "-c", REVIEW],
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
    assert not (workspace / tracking.DATABASE).exists()
    assert not (workspace / "mlruns").exists()


def test_the_server_refuses_a_host_that_it_does_not_know(server) -> None:
    asked = urllib.request.Request(
        f"{server}/api/2.0/mlflow/experiments/search?max_results=1", headers={"Host": "elsewhere.example"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    refused.value.close()  # an HTTP error is an open answer
    assert refused.value.code == 403
