"""Nothing phones home: neither scorer nor pipeline opens an internet socket or leaves a file where it has no business.

Each case runs in a process of its own, in an empty home. Python's sockets are seen by an audit hook. Sockets opened by
native code are seen by the kernel's counters of a network namespace made for the process, where that is permitted.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.fit_records import sensor_fit
from support.project import copy_of_the_project
from support.tiny_bundle import AREA, CONTRACT, write_bundle

from pipeline.model.fit_record import write_fit

ROOT = Path(__file__).parents[2]
HEAVY = {"pandas", "lightgbm", "sklearn", "mlflow", "pipeline", "onnx", "pyarrow", "scipy", "dvc"}

WATCH = """
import sys
OPENED, REACHED = [], []
CALLS = "connect sendto sendmsg getaddrinfo gethostbyname gethostbyaddr"
REACHING = {f"socket.{name}" for name in CALLS.split()}
def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] in (2, 10):  # AF_INET, AF_INET6
        OPENED.append(repr(arguments))
    if event in REACHING and not isinstance(arguments[-1], str):  # a path: a socket of this machine
        REACHED.append(event + repr(arguments))
sys.addaudithook(watch)
"""

SENT = """
from pathlib import Path
def sent():
    lines = [line.split() for line in Path("/proc/self/net/snmp").read_text().splitlines()]
    count = {names[0] + name: int(value) for names, values in zip(lines[::2], lines[1::2])
             for name, value in zip(names[1:], values[1:])}
    return sum(count[name] for name in ("Ip:OutRequests", "Ip:OutNoRoutes", "Tcp:ActiveOpens", "Udp:OutDatagrams"))
"""

REPORT = """
import json
modules = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps({"opened": OPENED, "reached": REACHED, "sent": sent(), "modules": modules}))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/net/snmp").exists(), reason="reads Linux's own counters")
CAN_UNSHARE = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
)


def observe(code, home, *, isolated, cwd=ROOT):
    """Run `code` with an empty home; return what it opened and loaded, and the files that it left in the home."""
    home.mkdir()
    # matplotlib keeps a list of this machine's fonts, in the home by default: a cache, no report
    variables = {
        "MPLCONFIGDIR": str(home.parent / "matplotlib"),
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(home.parent),
    }
    done = subprocess.run(
        [*(["unshare", "-rn"] if isolated else []), sys.executable, "-c", WATCH + code + SENT + REPORT],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    return {**seen, "files": sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())}


network = pytest.mark.parametrize(
    "isolated",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(not CAN_UNSHARE, reason="unshare -rn is not permitted here")),
    ],
    ids=["as-is", "own-network-namespace"],
)


@pytest.fixture(scope="module")
def scoring(tmp_path_factory):
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"), CONTRACT, AREA)
    return f"""
from threat_scorer import Scorer
import threat_scorer.cli
scorer = Scorer.load({str(bundle)!r})
scorer.score("sensor_threat", {{"voltage": [0.4], "height": [0.3]}})
scorer.score_record("sensor_threat", {{"voltage": 0.4, "height": 0.3}})
assert threat_scorer.cli.main(["info", "--bundle", {str(bundle)!r}]) == 0
"""


@network
def test_the_scorer_is_quiet_and_light(scoring, tmp_path, isolated):
    seen = observe(scoring, tmp_path / "home", isolated=isolated)
    assert (seen["opened"], seen["reached"]) == ([], [])
    assert seen["files"] == []
    assert not HEAVY & set(seen["modules"])
    if isolated:
        assert seen["sent"] == 0


def test_importing_the_package_loads_neither_numpy_nor_onnxruntime(tmp_path):
    seen = observe("import threat_scorer", tmp_path / "home", isolated=False)
    assert not (HEAVY | {"numpy", "onnxruntime", "cryptography"}) & set(seen["modules"])


def test_training_gets_the_features_without_onnxruntime(tmp_path):
    seen = observe("import threat_scorer.scoring.features", tmp_path / "home", isolated=False)
    assert "onnxruntime" not in seen["modules"]


PIPELINE = """
import importlib, pkgutil
from pathlib import Path
import pipeline
for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
    if not module.name.endswith("__main__"):  # these are programs: what they call is imported all the same
        importlib.import_module(module.name)
import lightgbm, numpy as np, onnxruntime, pyarrow as pa
from pipeline import tracking
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths
paths = DatasetPaths("simulated")
x = np.arange(40, dtype=np.float32)
table = pa.table({"x": x})
store.write_table(table, paths.features("sensor_threat"), schema=table.schema, sort_by=("x",))
quick = {"objective": "binary", "num_threads": 1, "min_data_in_leaf": 2, "verbose": -1}
booster = lightgbm.train(quick, lightgbm.Dataset(x[:, None], label=x > 9), 2)
folder = paths.model("sensor_threat")
folder.mkdir(parents=True, exist_ok=True)
booster.save_model(folder / "model.txt")
assert tracking.record("simulated", "sensor_threat")
"""


def test_the_pipeline_is_quiet_while_it_logs_a_fit(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "params.yaml", project)
    write_fit(sensor_fit(features=["x"]), project / "models/simulated/sensor_threat/fit.json")
    seen = observe(PIPELINE, tmp_path / "home", isolated=CAN_UNSHARE, cwd=project)
    assert {"pipeline", "mlflow", "lightgbm", "onnxruntime"} <= set(seen["modules"])
    assert len(seen["opened"]) <= 1, "urllib3 opens one when it is imported, to learn whether IPv6 is there"
    assert seen["reached"] == []
    assert seen["files"] == []
    if CAN_UNSHARE:
        assert seen["sent"] == 0


@pytest.mark.skipif(not CAN_UNSHARE, reason="unshare -rn is not permitted here")
def test_dvc_is_quiet(tmp_path):
    home = tmp_path / "home"
    checkout = tmp_path / "project"
    home.mkdir()
    checkout.mkdir()
    project = copy_of_the_project(checkout)
    settings = {"HOME": str(home), "DVC_NO_ANALYTICS": ""}  # what is committed must do, without the environment
    count = [sys.executable, "-c", f"{SENT}print(sent())"]
    done = project.run("unshare", "-rn", "sh", "-c", f"dvc status --json && {shlex.join(count)}", **settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "0"
    assert [path for path in home.rglob("*") if path.is_file()] == []


@network
def test_a_socket_would_be_seen(tmp_path, isolated):
    planted = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    s.sendto(b"hello", ("192.0.2.1", 9))
except OSError:
    pass
"""
    seen = observe(planted, tmp_path / "home", isolated=isolated)
    assert (len(seen["opened"]), len(seen["reached"])) == (1, 1)
    if isolated:
        assert seen["sent"] > 0


def test_a_file_in_the_home_would_be_seen(tmp_path):
    planted = (
        "from pathlib import Path; Path.home().joinpath('.cache').mkdir(); Path.home().joinpath('.cache/id').touch()"
    )
    assert observe(planted, tmp_path / "home", isolated=False)["files"] == [".cache/id"]
