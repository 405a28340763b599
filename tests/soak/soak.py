"""A bundle -> the running scorer, killed over and over under load while its peer comes and goes -> counts of records.

    PYTHONPATH=tests python -m soak.soak --bundle FOLDER --model NAME [--cycles 500]

Records enter by a Unix socket, whose sender sends a line again until it is acknowledged, and by a file that grows.
Every 21st line cannot be scored. The report is right where every line arrives as a score or a rejection, each score has
the bits that the bundle gives without the kills, and a line that arrives twice has one key.
"""

import argparse
import contextlib
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from soak.peers import Lines, Receiver, Sender

from threat_scorer.scoring.scorer import Scorer

SETTLE_S = 120.0


@dataclass
class Report:
    """What a soak found."""

    cycles: int = 0
    sent: int = 0
    scored: int = 0
    rejected: int = 0
    missing: int = 0
    """Lines of which nothing arrived."""
    changed: int = 0
    """Lines that arrived with another score, or as a rejection where a score is right, or with two keys."""
    unordered: int = 0
    """Records that arrived for the first time after one that follows them."""
    repeated: int = 0
    """Arrivals beyond the first of a line, which its key tells."""
    sent_again: int = 0
    hang_ups: int = 0
    """How often the receiving peer went away."""
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """True where nothing was lost or changed."""
        return self.sent == self.scored + self.rejected and not (self.missing or self.changed or self.unordered)


def soak(bundle: Path, model: str, *, cycles: int, seed: int, folder: Path, say: Any) -> Report:
    """Kill the scorer `cycles` times; return what was found."""
    started = time.monotonic()
    rng = random.Random(seed)
    lines = Lines(Scorer.load(bundle), model)
    points = lines.scorer.contracts[model].operating_points
    config = _write_config(folder, bundle, model, next(iter(points), None))
    receiver = Receiver(folder / "out.sock", rng)
    sender = Sender(folder / "in.sock", lines, next=1)
    in_file = folder / "in.jsonl"
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,), daemon=True) for work in (receiver.serve, sender.send)]
    for thread in threads:
        thread.start()
    in_file_next = 2
    try:
        for cycle in range(cycles):
            with _running(config, folder) as process:
                _until(partial(_listens_or_ended, folder / "in.sock", process), 30.0)
                for _ in range(rng.randrange(1, 6)):  # under load for a while, and then, at no special moment
                    in_file_next = _append(in_file, lines, in_file_next)
                    time.sleep(rng.uniform(0, 0.1))
                process.send_signal(signal.SIGKILL)
            say(f"cycle {cycle + 1} of {cycles}: {len(receiver.arrivals)} lines arrived")
        sender.full = receiver.calm = True
        with _running(config, folder) as process:
            expected = in_file_next // 2 - 1 + sender.next // 2
            settled = _until(lambda: not sender.out and len(receiver.arrivals) >= expected, SETTLE_S)
            say("settled" if settled else "did not settle")
            process.terminate()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    numbers = [*range(1, sender.next, 2), *range(2, in_file_next, 2)]
    report = _judge(lines, numbers, receiver)
    report.cycles, report.sent_again, report.seconds = cycles, sender.sent_again, time.monotonic() - started
    return report


def _judge(lines: Lines, numbers: list[int], receiver: Receiver) -> Report:
    report = Report(sent=len(numbers), hang_ups=receiver.hang_ups, unordered=receiver.unordered)
    for number in numbers:
        arrivals = receiver.arrivals.get(number, [])
        if not arrivals:
            report.missing += 1
            continue
        expected = lines.expected(number)
        report.scored += expected is not None
        report.rejected += expected is None
        report.repeated += len(arrivals) - 1
        report.changed += {(key, probability) for _, key, probability in arrivals} != {(arrivals[0][1], expected)}
    return report


@contextlib.contextmanager
def _running(config: Path, folder: Path) -> Any:
    with (folder / "log.jsonl").open("ab") as log:
        command = [sys.executable, "-m", "threat_scorer.cli", "run", "--config", str(config)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        try:
            yield process
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def _append(path: Path, lines: Lines, start: int) -> int:
    """Append some lines with even numbers, the last one in two parts; return the next number."""
    numbers = range(start, start + 40, 2)
    text = b"".join(lines.line(number) + b"\n" for number in numbers)
    for part in (text[:-9], text[-9:]):
        with path.open("ab") as file:
            file.write(part)
    return start + 40


def _listens_or_ended(path: Path, process: "subprocess.Popen[bytes]") -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0 or process.poll() is not None


def _until(holds: Callable[[], bool], most_s: float) -> bool:
    end = time.monotonic() + most_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _write_config(folder: Path, bundle: Path, model: str, point: str | None) -> Path:
    decision = f'operating_point = "{point}"' if point else ""
    path = folder / "scorer.toml"
    path.write_text(
        f"""device = "soak"
bundle = "{bundle.resolve()}"
state = "state"
{decision}
[[input]]
kind = "unix"
path = "in.sock"
model = "{model}"
[[input]]
kind = "file"
path = "in.jsonl"
model = "{model}"
[[output]]
kind = "unix"
path = "out.sock"
ack_within_s = 2.0
[outbox]
when_full = "refuse"
""",
        encoding="utf-8",
    )
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0 where nothing was lost or changed, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=Path, help="folder of the bundle")
    parser.add_argument("--model", required=True, help="name of a model in the bundle")
    parser.add_argument("--cycles", type=int, default=500, help="how often to kill (default 500)")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    report = soak(
        given.bundle,
        given.model,
        cycles=given.cycles,
        seed=given.seed,
        folder=folder,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(json.dumps({**vars(report), "right": report.right}, indent=1))
    if report.right:
        shutil.rmtree(folder)
    else:
        print(f"what it left is in {folder}", file=sys.stderr)
    return 0 if report.right else 1


if __name__ == "__main__":
    sys.exit(main())
