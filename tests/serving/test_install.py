"""What is installed, on the device and to run the chain: versions and hashes that the project was tested with."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def locked(path):
    """Return version and hashes by name, as a set for each name: versions differ by Python."""
    entries = path.read_text().replace("\\\n", " ").splitlines()
    pins = {}
    for entry in entries:
        pin, *hashes = entry.split("--hash=")
        name, _, version = pin.split(";")[0].strip().partition("==")
        pins.setdefault(name, set()).add((version, *(value.strip() for value in hashes)))
    return pins


@pytest.mark.parametrize("lock", ["requirements.lock", "serving/requirements.lock"])
def test_what_runs_is_the_files_that_the_tests_run_with(lock):
    tested = locked(ROOT / "requirements-dev.lock")
    assert {name: pins for name, pins in locked(ROOT / lock).items() if pins != tested.get(name)} == {}


@pytest.mark.parametrize(
    ("lock", "declaration", "extras"),
    [
        ("serving/requirements.lock", "serving/pyproject.toml", []),
        ("requirements.lock", "pyproject.toml", ["build"]),
        ("requirements-dev.lock", "pyproject.toml", ["build", "dev"]),
    ],
)
def test_every_declared_dependency_is_locked(lock, declaration, extras):
    project = tomllib.loads((ROOT / declaration).read_text())["project"]
    declared = [
        *project["dependencies"],
        *(text for extra in extras for text in project["optional-dependencies"][extra]),
    ]
    pins_by_name = locked(ROOT / lock)
    # threat-scorer is installed from its folder
    assert {canonicalize_name(Requirement(text).name) for text in declared} - {"threat-scorer"} <= set(pins_by_name)
    assert all(len(pin) > 1 for pins in pins_by_name.values() for pin in pins), "every version has its hashes"


def test_the_tests_tools_are_not_installed_to_run_the_chain():
    assert set(locked(ROOT / "requirements.lock")).isdisjoint({"pytest", "mypy", "ruff", "hypothesis", "uv", "duckdb"})


def test_both_distributions_carry_the_same_licence():
    assert (ROOT / "serving/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
