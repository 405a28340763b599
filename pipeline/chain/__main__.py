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
from pipeline.storage.paths import LOCK, PROCESSOR_LOCK

DVC = (sys.executable, "-m", "dvc")


def main() -> None:
    """Run the chain; end with the status of the first command that fails."""
    arguments = argparse.ArgumentParser(prog="python -m pipeline.chain", description=__doc__)
    arguments.add_argument("--workers", type=int, default=_processors(), help="models at a time; the processors")
    workers = arguments.parse_args().workers
    signal.signal(signal.SIGTERM, _interrupt)
    before = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    _take_up(before)
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


def _take_up(committed: str) -> None:
    """Let DVC compare with what this processor made before, where nothing else differs from the committed lock."""
    if PROCESSOR_LOCK.exists():
        made_here = PROCESSOR_LOCK.read_text(encoding="utf-8")
        if lock_file.differs_by_processor_alone(committed, made_here):
            _write(made_here, LOCK)


def _settle(before: str) -> None:
    """Sort dvc.lock, or put back the one of before where nothing differs but the order or the processor's digits."""
    after = LOCK.read_text(encoding="utf-8")
    if lock_file.same(before, after):
        PROCESSOR_LOCK.unlink(missing_ok=True)
        _write(before, LOCK)
    elif lock_file.differs_by_processor_alone(before, after):
        _write(after, PROCESSOR_LOCK)
        _write(before, LOCK)
    else:
        PROCESSOR_LOCK.unlink(missing_ok=True)
        _write(lock_file.in_order(after), LOCK)


def _write(text: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def _show(line: str) -> None:
    print(line, flush=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    cli.run(main)
