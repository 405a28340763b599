"""A copy of the project, with its own DVC cache and MLflow store, in which a test may run commands."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Project:
    """A checkout of its own, with its own DVC cache and MLflow store."""

    root: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout, with our own virtual environment and the checkout's code."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "DATA_MIRROR"))}
        return subprocess.run(
            command,
            cwd=self.root,
            env={
                **inherited,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": f"{self.root}:{self.root / 'serving'}",
                "DVC_SITE_CACHE_DIR": str(self.root / ".dvc/tmp/site"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, *command: str, **environment: str) -> str:
        """Run a command that must end well; return what it printed."""
        done = self.run(*command, **environment)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace one passage of a file that must contain it once."""
        path = self.root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} contains {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new))


def contents(project: Project) -> dict[str, bytes]:
    """Return what every output file of the stages holds, by its path in the project."""
    return {
        path.relative_to(project.root).as_posix(): path.read_bytes()
        for folder in ("data", "models", "reports")
        for path in sorted((project.root / folder).rglob("*"))
        if path.is_file()
    }


def stages_run(printed: str) -> set[str]:
    """Return the names of the stages that DVC says it runs."""
    return set(re.findall(r"Running stage '(.+?)':", printed))


def copy_of_the_project(root: Path) -> Project:
    """Copy every file that git knows or would add, and make it a git checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    project = Project(root)
    # a gate that tries less hard: the release's own takes half a minute a model
    project.edit("params.yaml", "random_rows: 1000000 ", "random_rows: 20000 ")
    project.edit("params.yaml", "adversarial_rows: 50000", "adversarial_rows: 5000")
    # and one horizon less: two show that each is a model of its own
    third = "      area_risk_84d: {<<: *simulated_area, horizon_days: 84, cutoff_every_days: 28}\n"
    project.edit("params.yaml", third, "")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "a copy"]):
        project.succeed("git", "-c", "user.name=test", "-c", "user.email=test@example.org", *command)
    return project
