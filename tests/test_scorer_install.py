"""What the device installs: versions and hashes that the project itself was tested with."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def locked(path):
    """Return version and hashes by name, as a set for each name: versions differ by Python."""
    entries = path.read_text().replace("\\\n", " ").splitlines()
    pins = {}
    for entry in entries:
        pin, *hashes = entry.split("--hash=")
        name, _, version = pin.split(";")[0].strip().partition("==")
        pins.setdefault(name, set()).add((version, *(value.strip() for value in hashes)))
    return pins


def test_the_device_gets_the_files_that_the_project_was_tested_with():
    project, device = locked(ROOT / "requirements.lock"), locked(ROOT / "serving/requirements.lock")
    assert {name: pins for name, pins in device.items() if pins != project.get(name)} == {}


def test_every_base_dependency_is_locked():
    declared = tomllib.loads((ROOT / "serving/pyproject.toml").read_text())["project"]["dependencies"]
    device = locked(ROOT / "serving/requirements.lock")
    assert {Requirement(text).name for text in declared} <= set(device)
    assert all(len(pin) > 1 for pins in device.values() for pin in pins), "every version has its hashes"
