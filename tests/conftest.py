"""What several tests share: the finished chain on the small simulated theatre, and an MLflow store made once."""

import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings
from support.project import ROOT, Project, copy_of_the_project
from threadpoolctl import threadpool_limits

# machines are shared and noisy: no test asserts a time
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def linear_algebra_in_one_thread():
    """Do sums as the stages do: see `pipeline.runtime.cli.run`."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def small_chain(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """Return a project in which the whole chain has run on the small simulated theatre; do not change it.

    The processes of one test run share it: the first that needs it makes it.
    """
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "small-chain"
    finished = root.with_suffix(".finished")
    with FileLock(root.with_suffix(".lock")):
        if not finished.exists():
            shutil.rmtree(root, ignore_errors=True)  # of a process that was killed
            root.mkdir()
            made = copy_of_the_project(root)
            made.edit("params.yaml", "size: theatre", "size: small")
            made.succeed(sys.executable, "-m", "pipeline.select_dataset", "simulated")
            made.succeed(sys.executable, "-m", "pipeline.chain")
            finished.touch()
    return Project(root)


@pytest.fixture
def project(small_chain: Project, tmp_path: Path) -> Project:
    """Return a copy of the finished chain that the test may change."""
    shutil.copytree(small_chain.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database that is ready and empty: making one takes seconds, copying it none."""
    from pipeline import tracking

    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow's own deprecations
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.connect().search_experiments(max_results=1)
    return folder / tracking.DATABASE


@pytest.fixture
def workspace(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return, as the working folder, a project without any stage's output, with an MLflow store of its own."""
    shutil.copy(empty_mlflow, tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def short_folder():
    """Return a folder with a short name: a Unix socket's path has at most 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="run-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def broker(short_folder):
    """Start a Mosquitto with TLS."""
    from support.broker import Broker

    started = Broker(short_folder)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def client(broker):
    """Return what connects further clients to the broker."""
    from support.broker import Client

    clients = []

    def connect(*arguments, **options):
        clients.append(Client(broker, *arguments, **options))
        return clients[-1]

    yield connect
    for one in clients:
        one.close()
