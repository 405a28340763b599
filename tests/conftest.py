"""What several tests share: the finished chain on the small simulated theatre."""

import sys

import pytest
from project import Project, copy_of_the_project


@pytest.fixture(scope="session")
def small_chain(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which the whole chain has run on the small simulated theatre; do not change it."""
    project = copy_of_the_project(tmp_path_factory.mktemp("small"))
    project.edit("params.yaml", "size: theatre", "size: small")
    project.succeed(sys.executable, "-m", "pipeline.choose", "simulated")
    project.succeed("dvc", "repro")
    return project
