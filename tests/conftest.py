"""What several tests share: the finished chain on the small simulated theatre, and an MLflow store made once."""

import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import settings
from support.project import ROOT, Project, copy_of_the_project
from threadpoolctl import threadpool_limits
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# machines are shared and noisy: no test asserts a time
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


class ByFile(LoadScopeScheduling):
    """Keeps a file's tests in one process, and in one as well all that need the finished chain: it is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "small chain" if "small_chain" in (ROOT / file).read_text() else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def linear_algebra_in_one_thread():
    """Do sums as the stages do: see `pipeline.runtime.cli.run`."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def small_chain(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which the whole chain has run on the small simulated theatre; do not change it."""
    project = copy_of_the_project(tmp_path_factory.mktemp("small"))
    project.edit("params.yaml", "size: theatre", "size: small")
    project.succeed(sys.executable, "-m", "pipeline.select_dataset", "simulated")
    project.succeed(sys.executable, "-m", "pipeline.chain")
    return project


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
