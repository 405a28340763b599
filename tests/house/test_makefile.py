"""`make` runs nothing that a variable says, installs no more than a target needs, and cleans no more than its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDER = """#!/bin/sh
printf '%s|%s|%s\\n' "$(basename "$0")" "$*" "$DATA_MIRROR" >> commands
"""
"""Stands for every program that a recipe calls: notes what it was called with."""
HOSTILE = [
    "x; touch ran",
    "x\ntouch ran",
    "$(touch ran)",
    "$(shell touch ran)",
    "`touch ran`",
    "x' ; touch ran ; '",
    'x" ; touch ran ; "',
]


class Checkout:
    """A folder with the Makefile, in which every program that it calls is a recorder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / ".venv/bin"
        programs.mkdir(parents=True)
        for file in ("Makefile", "requirements.lock", "requirements-dev.lock", "pyproject.toml"):
            shutil.copy(ROOT / file, folder)
        (folder / "serving").mkdir()
        shutil.copy(ROOT / "serving/pyproject.toml", folder / "serving")
        for name in ("python", "dvc", "ruff", "mypy"):
            (programs / name).write_text(RECORDER)
            (programs / name).chmod(0o755)

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if k not in ("DATASET", "DATA_MIRROR", "MAKEFLAGS")}
        return subprocess.run(
            ["make", "PYTHON=.venv/bin/python", *arguments],
            cwd=self.folder,
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def commands(self) -> list[list[str]]:
        """The program, the arguments and DATA_MIRROR of each call."""
        file = self.folder / "commands"
        return [line.split("|") for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def installed(self) -> list[str]:
        """The locks that pip was given, in order."""
        return [arguments.split()[-1] for _, arguments, _ in self.commands if "--require-hashes" in arguments]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize("target", ["all", "soak"])
@pytest.mark.parametrize("name", [*HOSTILE, "", "-rf", "../x", "a b", "a/b"])
def test_a_dataset_that_is_no_name_is_refused_before_anything_runs(checkout: Checkout, target: str, name: str) -> None:
    done = checkout.make(target, f"DATASET={name}")
    assert done.returncode != 0
    assert "expected an entry of datasets" in done.stderr
    assert not (checkout.folder / "ran").exists()
    assert checkout.commands == []


def test_a_dataset_from_the_environment_is_refused_too(checkout: Checkout) -> None:
    assert checkout.make(DATASET="$(shell touch ran)").returncode != 0
    assert not (checkout.folder / "ran").exists()


@pytest.mark.parametrize("folder", [*(text for text in HOSTILE if "\n" not in text), "/media/a b/$HOME"])
def test_a_mirror_reaches_the_stages_as_it_was_written_and_runs_nothing(checkout: Checkout, folder: str) -> None:
    assert checkout.make("DATASET=acme_2-b", f"DATA_MIRROR={folder}").returncode == 0
    assert not (checkout.folder / "ran").exists()
    assert ["python", "-m pipeline.select_dataset acme_2-b", folder] in checkout.commands
    assert ["python", "-m pipeline.chain", folder] in checkout.commands


def test_the_chain_installs_what_running_needs_and_the_tests_add_the_rest(checkout: Checkout) -> None:
    assert checkout.make().returncode == 0
    assert checkout.installed == ["requirements.lock"]
    for target in ("test", "lint"):
        assert checkout.make(target).returncode == 0
    assert checkout.installed == ["requirements.lock", "requirements-dev.lock"]


def test_cleaning_leaves_the_page_that_says_what_will_lie_in_models(checkout: Checkout) -> None:
    page = checkout.folder / "models/README.md"
    (checkout.folder / "models/simulated/bundle").mkdir(parents=True)
    page.write_text("# Models\n")
    assert checkout.make("clean").returncode == 0
    assert list((checkout.folder / "models").iterdir()) == [page]
    assert checkout.make("clean").returncode == 0
