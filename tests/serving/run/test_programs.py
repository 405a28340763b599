"""The programs beside the tests, soak and fuzz: the command in the Makefile starts."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("target", ["soak", "fuzz"])
def test_the_command_of_the_makefile_starts(target):
    recipe = re.search(rf"^{target}:.*\n\t@(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    folder, module = re.match(r"PYTHONPATH=(\S+) python -m (\S+)", recipe[1]).groups()
    path = os.pathsep.join([folder, *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    options = {word for word in shlex.split(recipe[1].replace("$", "")) if word.startswith("--")}
    assert options
    assert all(option in done.stdout for option in options)
