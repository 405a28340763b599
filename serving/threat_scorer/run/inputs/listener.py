"""Peers on a TCP port or a Unix socket -> items on the queue, and one answer to each line.

A peer sends JSON Lines. The answer ``{"line": n, "seq": …, "key": …}`` means that the score of the line is on the disk.
With an ``error`` the line was rejected. With ``"retry": true``, or without an answer, the line was not stored: the peer
sends it again. With an ``id`` in the record that is harmless.
"""

import contextlib
import json
import os
import queue as queues
import socket
import stat
import threading
from pathlib import Path

from threat_scorer.errors import ConfigError
from threat_scorer.run.clock import boottime
from threat_scorer.run.config.peers import TcpInput, UnixInput
from threat_scorer.run.inputs.blank import is_blank
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.queue import IntakeQueue, Item, Outcome
from threat_scorer.scoring.lines import read_lines

MOST_PEERS = 16
WINDOW = 1000
"""Lines of one peer that may await their answer; the next line is read after an answer."""
SEND_WITHIN_S = 10.0
"""A peer that does not take its answers for so long is disconnected."""


def listen(entry: TcpInput | UnixInput) -> socket.socket:
    """Open the socket of an input.

    Raises
    ------
    ConfigError
        It cannot be listened on.
    """
    try:
        if isinstance(entry, UnixInput):
            return _listen_on_path(entry.path)
        family = socket.AF_INET6 if ":" in entry.host else socket.AF_INET
        return socket.create_server((entry.host, entry.port), family=family, backlog=MOST_PEERS)
    except OSError as error:
        where = entry.path if isinstance(entry, UnixInput) else f"{entry.host} port {entry.port}"
        raise ConfigError(f"input {entry.name}: cannot listen on {where}: {error.strerror}") from None


def serve(name: str, server: socket.socket, queue: IntakeQueue, stop: threading.Event, log: Log) -> None:
    """Accept peers until `stop`.

    Parameters
    ----------
    name
        Of the input.
    server
        As `listen` returns it.
    queue
        Where the lines go.
    stop
        Set when the process stops.
    log
        Takes connections that cannot be accepted.
    """
    peers = threading.BoundedSemaphore(MOST_PEERS)
    server.settimeout(0.5)
    with server:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            except OSError as error:  # out of descriptors, say: peers wait in the backlog
                log.warning("cannot accept", input=name, error=error.strerror)
                stop.wait(1.0)
                continue
            if not peers.acquire(blocking=False):
                log.warning("too many peers", input=name, most=MOST_PEERS)
                connection.close()
                continue
            peer = Peer(name, connection, queue, stop)
            threading.Thread(target=_attend, args=(peer, peers), name=f"peer of {name}", daemon=True).start()


def _attend(peer: "Peer", peers: threading.BoundedSemaphore) -> None:
    try:
        peer.attend()
    finally:
        peers.release()


class Peer:
    """One connection: a thread reads its lines, another writes the answers.

    Parameters
    ----------
    name
        Of the input.
    connection
        The peer's socket.
    queue
        Where the lines go.
    stop
        Set when the process stops.
    """

    def __init__(self, name: str, connection: socket.socket, queue: IntakeQueue, stop: threading.Event) -> None:
        self._name, self._connection, self._queue, self._stop = name, connection, queue, stop
        self._window = threading.Semaphore(WINDOW)
        self._answers: queues.SimpleQueue[Outcome] = queues.SimpleQueue()
        self._queued = 0
        self._read_all = False  # the peer sends no more lines
        self._gone = False  # the peer takes no more answers

    def attend(self) -> None:
        """Read and answer until the peer leaves or the process stops."""
        if self._connection.family != socket.AF_UNIX:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sender = self._connection.dup()  # a duplicate, as its timeout is longer than the reader's
        sender.settimeout(SEND_WITHIN_S)
        self._connection.settimeout(0.5)
        with self._connection, sender:
            writer = threading.Thread(target=self._write, args=(sender,), name=f"answers of {self._name}", daemon=True)
            writer.start()
            with contextlib.suppress(OSError):
                self._read()
            self._read_all = True
            writer.join()

    def _read(self) -> None:
        number = 0
        for lines in read_lines(self._receive):
            for line in lines:
                number += 1
                if is_blank(line):
                    continue
                if not self._wait_for_window():
                    return
                self._queued += 1
                if not self._queue.put(Item(self._name, number, line, boottime(), reply=self._answers.put)):
                    self._gone = True  # the process ends: the peer sends it again to the next one
                    return

    def _receive(self, most: int) -> bytes:
        while not self._stop.is_set() and not self._gone:
            with contextlib.suppress(TimeoutError):
                return self._connection.recv(most)
        return b""

    def _wait_for_window(self) -> bool:
        while not self._gone and not self._stop.is_set():
            if self._window.acquire(timeout=0.5):
                return True
        return False

    def _write(self, sender: socket.socket) -> None:
        answered = 0
        while not self._gone and not (self._read_all and answered == self._queued):
            outcomes: list[Outcome] = []
            with contextlib.suppress(queues.Empty):
                outcomes.append(self._answers.get(timeout=0.2))
                while len(outcomes) < WINDOW:
                    outcomes.append(self._answers.get_nowait())
            if not outcomes:
                continue
            try:
                sender.sendall(b"".join(to_answer(outcome) for outcome in outcomes))
            except OSError:
                self._gone = True
                return
            answered += len(outcomes)
            self._window.release(len(outcomes))


def to_answer(outcome: Outcome) -> bytes:
    r"""Return the line that answers one line.

    >>> to_answer(Outcome(3, error="the outbox is full"))
    b'{"line": 3, "error": "the outbox is full", "retry": true}\n'
    """
    answer: dict[str, object] = {"line": outcome.number}
    if outcome.entry is None:
        answer |= {"error": outcome.error, "retry": True}
    else:
        answer |= {"seq": outcome.seq, "key": outcome.entry.key}
        if outcome.entry.probability is None:
            answer["error"] = json.loads(outcome.entry.body)["error"]
    return json.dumps(answer).encode() + b"\n"


def _listen_on_path(path: Path) -> socket.socket:
    """Listen on a Unix socket for its owner and group, in place of an old one without a listener."""
    server = socket.socket(socket.AF_UNIX)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _has_listener(path):
            path.unlink()
        mask = os.umask(0o117)
        try:
            server.bind(str(path))
        finally:
            os.umask(mask)
        server.listen(MOST_PEERS)
    except OSError:
        server.close()
        raise
    return server


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True
