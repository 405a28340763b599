"""The peers of a soak: one sends lines again until they are acknowledged, one receives and hangs up at random."""

import contextlib
import json
import random
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threat_scorer.scoring.float32 import shortest
from threat_scorer.scoring.scorer import Scorer

WINDOW = 200
"""Lines that the sender has out without an answer."""
REFUSED_EVERY = 21
"""Odd, so that both inputs have some."""
TICK_S = 0.005


@dataclass
class Lines:
    """The lines that are sent, made from their number, and what must come of them."""

    scorer: Scorer
    model: str

    def line(self, number: int) -> bytes:
        """Return line `number`, without its end."""
        if number % REFUSED_EVERY == 0:
            return b'{"id": %d, "oops": true}' % number
        return json.dumps({"id": number, **self._inputs(number)}).encode()

    def expected(self, number: int) -> float | None:
        """Return the probability of line `number`, None where it must be rejected."""
        if number % REFUSED_EVERY == 0:
            return None
        return shortest(self.scorer.score_record(self.model, self._inputs(number)).probability)

    def _inputs(self, number: int) -> dict[str, float]:
        rng = random.Random(number)
        return {
            entry.name: round(rng.uniform(entry.low, entry.high), 6)
            for entry in self.scorer.contracts[self.model].inputs
        }


@dataclass
class Receiver:
    """The peer that gets the scores: acknowledges what it has, and hangs up at random."""

    path: Path
    rng: random.Random
    arrivals: dict[int, list[tuple[int, str, float | None]]] = field(default_factory=dict)
    """By the line's number: sequence number, key and probability of each arrival."""
    hang_ups: int = 0
    unordered: int = 0
    calm: bool = False
    """True to hang up no more."""
    _highest: int = 0

    def serve(self, stop: threading.Event) -> None:
        """Receive until `stop`."""
        while not stop.is_set():
            with socket.socket(socket.AF_UNIX) as server:
                self.path.unlink(missing_ok=True)
                server.bind(str(self.path))
                server.listen(1)
                server.settimeout(0.2)
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        self._receive(connection, stop)
            if not self.calm:
                stop.wait(self.rng.uniform(0, 0.2))  # away: there is nobody to connect to

    def _receive(self, connection: socket.socket, stop: threading.Event) -> None:
        patience = self.rng.randrange(20, 800)
        connection.settimeout(0.2)
        rest = b""
        while not stop.is_set() and (patience > 0 or self.calm):
            try:
                chunk = connection.recv(2**16)
            except TimeoutError:
                continue
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                seq = self._take(json.loads(line))
            patience -= len(lines)
            if lines and (patience > 0 or self.calm):  # else it hangs up on lines that it took and did not acknowledge
                connection.sendall(b'{"ack": %d}\n' % seq)
        self.hang_ups += 1

    def _take(self, record: dict[str, Any]) -> int:
        number, seq = int(record["id"]), int(record["seq"])
        seen = self.arrivals.setdefault(number, [])
        if all(seq != other for other, _, _ in seen):
            if not seen and seq < self._highest:
                self.unordered += 1
            self._highest = max(self._highest, seq)
        seen.append((seq, record["key"], record.get("probability")))
        return seq


@dataclass
class Sender:
    """The peer that sends: numbers from `start` in steps of two, each again until it is acknowledged."""

    path: Path
    lines: Lines
    next: int
    out: dict[int, int] = field(default_factory=dict)
    """Sent and not acknowledged: how often each was sent."""
    sent_again: int = 0
    full: bool = False
    """True to send nothing new."""

    def send(self, stop: threading.Event) -> None:
        """Send until `stop`."""
        while not stop.is_set():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.path))
                self._converse(connection, stop)
            stop.wait(0.02)

    def _converse(self, connection: socket.socket, stop: threading.Event) -> None:
        order = sorted(self.out)
        self.sent_again += len(order)
        connection.sendall(b"".join(self.lines.line(number) + b"\n" for number in order))
        answers = connection.makefile("rb")
        while not stop.is_set():
            if not self.full and len(self.out) < WINDOW:
                fresh = list(range(self.next, self.next + 40, 2))
                self.next += 40
                self.out.update(dict.fromkeys(fresh, 1))
                order += fresh
                connection.sendall(b"".join(self.lines.line(number) + b"\n" for number in fresh))
                time.sleep(TICK_S)
                if len(self.out) < WINDOW:
                    continue
            if not self.out:
                time.sleep(TICK_S)
                continue
            answer = json.loads(answers.readline() or b"null")
            if answer is None:
                return
            if not answer.get("retry"):
                self.out.pop(order[answer["line"] - 1], None)
