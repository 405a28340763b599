"""`make` of an earlier commit and of this tree -> the time of each stage, wall and processor.

``python benchmarks/chain.py [--before COMMIT] [--size small]``: each tree is copied to a temporary folder with a git
and a DVC cache of its own. There `make` runs as a user runs it, with the environment of this interpreter and the code
of the copy, one after the other. Nothing else should run meanwhile. The table goes to standard output, its last line
is JSON.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEFORE = "166381b"
"""The commit before models ran side by side."""
STAGES = ("acquire", "ingest", "features", "train", "evaluate", "export", "report")

# stands for `python` in the recipe and in DVC's stages: runs it, and notes what it took
SHIM = """\
#!{python}
import json, os, resource, subprocess, sys, time
begun = time.time()
status = subprocess.call([{python!r}, *sys.argv[1:]])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
line = json.dumps({{"words": sys.argv[1:], "wall_s": time.time() - begun, "cpu_s": used.ru_utime + used.ru_stime}})
file = os.open({notes!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(file, (line + "\\n").encode())
sys.exit(status if status >= 0 else 128 - status)
"""


@dataclass(frozen=True)
class Took:
    """What something took: time by the clock, and of all processors together."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Chain:
    """What one run of `make` took, as a whole and by stage."""

    total: Took
    stages: dict[str, Took]


def main() -> None:
    """Run both, print the table and the ratio."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--before", default=BEFORE, help=f"the earlier commit; without it, {BEFORE}")
    arguments.add_argument("--size", default="theatre", choices=("small", "theatre", "large"), help="of the theatre")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="chain-") as scratch:
        before, now = Path(scratch, "before"), Path(scratch, "now")
        _copy_of_commit(given.before, before)
        _copy_of_this_tree(now)
        first, second = (_run(folder, given.size) for folder in (before, now))
    _show(given.before, first, second)
    print(json.dumps({"benchmark": "chain", "ratios": {"before": round(second.total.wall_s / first.total.wall_s, 3)}}))


def _copy_of_commit(commit: str, folder: Path) -> None:
    folder.mkdir()
    with subprocess.Popen(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", folder], stdin=archive.stdout, check=True)
    if archive.returncode:
        sys.exit(f"--before: git has no commit {commit}; expected one of this repository")


def _copy_of_this_tree(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _run(folder: Path, size: str) -> Chain:
    """Run `make` in a copy and read what its commands noted."""
    params = folder / "params.yaml"
    params.write_text(re.sub(r"(?m)^(  size:) \w+", rf"\1 {size}", params.read_text(), count=1))
    notes = folder / ".venv/notes.jsonl"
    _link_environment(folder / ".venv", notes)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "a copy"]):
        identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    dropped = ("DATASET", "DATA_MIRROR", "MAKEFLAGS", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {
        "PYTHONPATH": f"{folder}:{folder / 'serving'}",
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"),
    }
    print(f"{folder.name}: make, with a theatre of size {size}", file=sys.stderr, flush=True)
    cpu_s, begun_s = _cpu_s(), time.perf_counter()
    # `-o`: the environment is there, and nothing is to be installed
    done = subprocess.run(["make", "-o", ".venv/ready"], cwd=folder, env=environment, stdout=sys.stderr, check=False)
    total = Took(time.perf_counter() - begun_s, _cpu_s() - cpu_s)
    if done.returncode:
        sys.exit(f"{folder.name}: make ended with status {done.returncode}; its output is above")
    return Chain(total, _noted(notes))


def _link_environment(folder: Path, notes: Path) -> None:
    """Make a folder that stands for this interpreter's environment, whose `python` notes what each command took."""
    (folder / "bin").mkdir(parents=True)
    for program in Path(sys.executable).parent.iterdir():
        if not program.name.startswith("python"):
            (folder / "bin" / program.name).symlink_to(program)
    shim = folder / "bin/python"
    shim.write_text(SHIM.format(python=sys.executable, notes=str(notes)))
    shim.chmod(0o755)
    (folder / "ready").touch()


def _noted(notes: Path) -> dict[str, Took]:
    """Return what each stage took, in the order of the flow; the stages of one model stand under its name too."""
    stages: dict[str, Took] = {}
    for line in notes.read_text().splitlines():
        note = json.loads(line)
        words = note["words"]
        stage = words[1].removeprefix("pipeline.") if words[:1] == ["-m"] else ""
        if stage in STAGES and "--dataset" in words and "--show" not in words:
            model = words[words.index("--model") + 1] if "--model" in words else ""
            stages[f"{stage} {model}".strip()] = Took(note["wall_s"], note["cpu_s"])
    return dict(sorted(stages.items(), key=lambda item: STAGES.index(item[0].split()[0])))


def _show(commit: str, before: Chain, now: Chain) -> None:
    print(f"{'':<24} {commit[:12]:>20} {'now':>20}")
    print(f"{'stage':<24} {'wall s':>10}{'CPU s':>10} {'wall s':>10}{'CPU s':>10}")
    for name in dict.fromkeys((*before.stages, *now.stages)):
        print(f"{name:<24} {_cells(before.stages.get(name))} {_cells(now.stages.get(name))}")
    print(f"{'make':<24} {_cells(before.total)} {_cells(now.total)}")


def _cells(took: Took | None) -> str:
    return f"{'-':>10}{'-':>10}" if took is None else f"{took.wall_s:>10.1f}{took.cpu_s:>10.1f}"


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
