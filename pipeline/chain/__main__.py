"""``python -m pipeline.chain``: run the stages that params.yaml chooses, models side by side."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from pipeline import params
from pipeline.chain import lock_file, plan, side_by_side
from pipeline.runtime import cli

LOCK = Path("dvc.lock")
DVC = (sys.executable, "-m", "dvc")


def main() -> None:
    """Run the chain; end with the status of the first command that fails."""
    arguments = argparse.ArgumentParser(prog="python -m pipeline.chain", description=__doc__)
    arguments.add_argument("--workers", type=int, default=_processors(), help="models at a time; the processors")
    workers = arguments.parse_args().workers
    signal.signal(signal.SIGTERM, _interrupt)
    before = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    try:
        status = _run(workers)
    except KeyboardInterrupt:
        print("interrupted: the stages that ran are stopped", file=sys.stderr)
        status = 128 + signal.SIGINT
    if LOCK.exists():
        _settle(before)
    sys.exit(status)


def _run(workers: int) -> int:
    declared = params.load()
    dataset, models = declared.run.dataset, declared.dataset(declared.run.dataset).models
    changed = _changed() if workers > 1 and len(models) > 1 else []
    commands = {
        model: [*DVC, "--wait-for-lock", "repro", "--single-item", *plan.stages_of(dataset, model)]
        for model in plan.models_to_run(changed, dataset, models)
    }
    if len(commands) > 1:
        if plan.needs_shared(changed) and (status := side_by_side.alone([*DVC, "repro", f"ingest@{dataset}"])):
            return status
        if status := side_by_side.run(commands, workers=workers, show=_show):
            return status
    return side_by_side.alone([*DVC, "repro"])


def _changed() -> list[str]:
    """Return the stages that DVC would run; none where DVC cannot list them, and `dvc repro` then gives the reason."""
    status = subprocess.run([*DVC, "status", "--json"], capture_output=True, text=True, check=False)
    return list(json.loads(status.stdout)) if status.returncode == 0 else []


def _settle(before: str) -> None:
    """Sort dvc.lock, but put the former text back where only the order has changed."""
    after = LOCK.read_text(encoding="utf-8")
    text = before if lock_file.same(before, after) else lock_file.in_order(after)
    if text != after:
        beside = LOCK.with_suffix(".tmp")
        beside.write_text(text, encoding="utf-8")
        beside.replace(LOCK)


def _show(line: str) -> None:
    print(line, flush=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    cli.run(main)
