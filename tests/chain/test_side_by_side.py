"""Commands side by side: every line under its name, the status of the first that fails, and nobody left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from pipeline.chain import side_by_side

WAITS = "import sys, time; print('begun', flush=True); time.sleep(600)"


def python(script: str) -> Sequence[str]:
    return (sys.executable, "-c", script)


def run(workers: int, **scripts: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    commands = {name: python(script) for name, script in scripts.items()}
    return side_by_side.run(commands, workers=workers, show=lines.append), lines


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_line_stands_under_its_name_in_its_order(workers: int) -> None:
    scripts = {name: f"for n in range(50): print('{name}', n)" for name in ("one", "three", "four")}
    status, lines = run(workers, **scripts)
    assert status == 0
    for name in scripts:
        own = [line for line in lines if line.startswith(f"{name:<5} | ")]
        assert own[:-1] == [f"{name:<5} | {name} {n}" for n in range(50)]
        assert own[-1].startswith(f"{name:<5} | done in ")
    assert len(lines) == 3 * 51


def test_no_more_run_than_there_are_workers(tmp_path: Path) -> None:
    script = (
        f"import os, pathlib, time; here = pathlib.Path({str(tmp_path)!r}); me = here / str(os.getpid()); me.touch(); "
        "time.sleep(0.2); print(len(list(here.iterdir()))); me.unlink()"
    )
    status, lines = run(2, **{name: script for name in "abcde"})
    counted = [int(line.split("| ")[1]) for line in lines if "done" not in line]
    assert status == 0
    assert len(counted) == 5
    assert max(counted) <= 2


def test_the_first_that_fails_gives_its_message_and_status_and_stops_the_others() -> None:
    status, lines = run(2, bad="import sys; sys.exit('no ground')", waits=WAITS, never="print('never')")
    assert status == 1
    assert "bad   | no ground" in lines
    assert "bad   | failed with status 1; the others are stopped" in lines
    assert not [line for line in lines if line.startswith("never")]
    assert children() == []


def test_what_a_signal_ended_has_the_status_that_a_shell_gives() -> None:
    status, _ = run(2, bad="import os; os.kill(os.getpid(), 9)")
    assert status == 137


def test_a_command_that_does_not_heed_the_interruption_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "STOP_AFTER_S", 0.2)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); " + WAITS
    status, _ = run(2, deaf=deaf, bad="import time; time.sleep(1); raise SystemExit(3)")
    assert status == 3
    assert children() == []


def test_an_interruption_ends_all_with_those_that_they_started() -> None:
    shell = ("sh", "-c", f'"{sys.executable}" -c "{WAITS}"; true')
    seen = threading.Event()

    def show(line: str) -> None:
        if "begun" in line:
            seen.set()

    def interrupt() -> None:
        seen.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side.run({"one": shell, "two": shell}, workers=2, show=show)
    assert children() == []


def test_one_alone_writes_where_we_do_and_is_stopped_too() -> None:
    script = (
        "from pipeline.chain import side_by_side; import sys; "
        f"sys.exit(side_by_side.alone([sys.executable, '-c', {WAITS!r}]))"
    )
    process = subprocess.Popen(python(script), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    inside = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    process.stdout.close()
    deadline_s = time.monotonic() + 60
    while any(child.is_running() for child in inside) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert inside and not any(child.is_running() for child in inside)


def test_messages_of_dvc_about_itself_are_not_shown() -> None:
    messages = [
        "",
        "Stage 'acquire@simulated' didn't change, skipping",
        "> python -m pipeline.train --dataset simulated --model area_risk_7d",
        "Updating lock file 'dvc.lock'",
        "To track the changes with git, run:",
        "\tgit add dvc.lock",
        "Use `dvc push` to send your updates to remote storage.",
        "Running stage 'train@simulated-area_risk_7d':",
        "ERROR: failed to reproduce 'train@simulated-area_risk_7d'",
    ]
    _, lines = run(1, m=f"print({chr(10).join(messages)!r})")
    assert lines[:-1] == [f"m | {line}" for line in messages[-2:]]
