"""Named commands -> their output, each line under its command's name; the first that fails stops the others."""

import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import SimpleQueue

STOP_AFTER_S = 20.0
"""Time that a stopped command has to end by itself."""

# messages of DVC about itself, and about stages that another process of ours has finished
_OF_DVC = re.compile(
    r"\s*$|> python |Stage '.*' didn't change, skipping|Updating lock file|Generating lock file|To track the changes"
    r"|\s*git add|To enable auto staging|\s*dvc config|Use `dvc push`|Data and pipelines are up to date"
)

Events = SimpleQueue[tuple[str, str | None]]
"""A command's name with a line of its output, or with None when there is no more."""


def run(commands: Mapping[str, Sequence[str]], *, workers: int, show: Callable[[str], None] = print) -> int:
    """Run the commands, in order, a few at a time; return 0, or the status of the first that fails.

    Every command has a process group of its own. When one fails, this interrupts the others, as Ctrl-C does, and
    waits until they have ended. It does the same after an exception such as `KeyboardInterrupt`.

    Parameters
    ----------
    commands
        By the name under which their lines are shown.
    workers
        How many run at a time.
    show
        Called with each line.
    """
    width = max(map(len, commands), default=0)
    waiting = deque(commands.items())
    running: dict[str, subprocess.Popen[str]] = {}
    started_s: dict[str, float] = {}
    events: Events = SimpleQueue()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                name, command = waiting.popleft()
                running[name], started_s[name] = _start(name, command, events), time.monotonic()
            name, line = events.get()
            if line is not None:
                show(f"{name:<{width}} | {line}")
                continue
            if status := _status(running[name]):
                show(f"{name:<{width}} | failed with status {status}; the others are stopped")
                return status
            del running[name]
            show(f"{name:<{width}} | done in {time.monotonic() - started_s[name]:.0f} s")
    finally:
        _stop(running.values())
    return 0


def alone(command: Sequence[str]) -> int:
    """Run one command that writes where this process does, and return its status; it is stopped as in `run`."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, process_group=0)
    try:
        return _status(process)
    finally:
        _stop([process])


def _status(process: subprocess.Popen[str]) -> int:
    """Wait for the end and return the status, as a shell gives it: 128 and the signal's number."""
    status = process.wait()
    return status if status >= 0 else 128 - status


def _start(name: str, command: Sequence[str], events: Events) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        process_group=0,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    threading.Thread(target=_read, args=(name, process, events), daemon=True).start()
    return process


def _read(name: str, process: subprocess.Popen[str], events: Events) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            if not _OF_DVC.match(line):
                events.put((name, line.rstrip()))
    events.put((name, None))


def _stop(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Interrupt the processes that still run and wait for their end; after `STOP_AFTER_S`, kill the rest."""
    present = [process for process in processes if process.poll() is None]
    deadline_s = time.monotonic() + STOP_AFTER_S
    try:
        for process in present:
            os.killpg(process.pid, signal.SIGINT)
        for process in present:
            process.wait(max(deadline_s - time.monotonic(), 0))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in present:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
