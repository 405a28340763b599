"""The outbox -> a file, standard output or a peer: in order, again after an outage, noted once it is safe there."""

import contextlib
import os
import random
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from threat_scorer import strict_json
from threat_scorer.run.clock import boottime
from threat_scorer.run.config import AnyOutput, FileOutput, SocketOutput, StdoutOutput, TcpOutput, UnixOutput
from threat_scorer.run.log import Log
from threat_scorer.run.outbox import Outbox, OutboxError, Row, to_line

BATCH = 256
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
LONGEST_ANSWER_BYTES = 4096
TAIL_BYTES = 2**16


class DeliveryError(Exception):
    """A peer that does not take records now; they stay in the outbox."""


class Sink(Protocol):
    """Where records go."""

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Hand over rows; return the sequence number up to which they are safe there.

        Raises
        ------
        OSError, DeliveryError
            None of them is known to be safe.
        """

    def close(self) -> None:
        """Let go of file or peer."""


class Delivery:
    """Carries records from the outbox to one output, for as long as the process runs.

    Parameters
    ----------
    name, sink
        The output's name and what it is.
    """

    def __init__(self, name: str, sink: Sink, outbox: Outbox, log: Log) -> None:
        self.name, self._sink, self._outbox, self._log = name, sink, outbox, log
        self.error: str | None = None
        """Why nothing can be delivered now; None where all is well."""
        self.since = boottime()
        """Steady time since when it is so."""
        self.sent = 0
        self._pause_s = FIRST_PAUSE_S

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop`."""
        while not stop.is_set():
            self.step(stop, wait_s=0.5)
        self._sink.close()

    def drain(self, until: float) -> None:
        """Deliver what waits, until all is delivered, an attempt fails, or the steady clock shows `until`."""
        while boottime() < until and self._outbox.behind(self.name):
            if not self.step(threading.Event(), wait_s=0.0, patient=False):
                return
        self._sink.close()

    def step(self, stop: threading.Event, *, wait_s: float, patient: bool = True) -> bool:
        """Deliver one batch; after a failure pause, longer each time. Return False where it failed."""
        rows = self._outbox.pending(self.name, limit=BATCH, wait_s=wait_s)
        if not rows:
            return True
        try:
            safe = self._sink.deliver(rows, self._outbox.stream)
            self._outbox.delivered(self.name, safe)
        except (OSError, DeliveryError, OutboxError) as error:
            self._sink.close()
            self._failed(str(error))
            if patient:
                stop.wait(self._pause_s * random.uniform(0.8, 1.2))  # many devices must not come back at once
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return False
        self.sent += sum(row.seq <= safe for row in rows)
        if self.error:
            self._log.info("output works again", output=self.name, after_s=round(boottime() - self.since, 1))
            self.error, self.since = None, boottime()
        self._pause_s = FIRST_PAUSE_S
        return True

    def _failed(self, error: str) -> None:
        self._log.warning("output fails; records are kept", output=self.name, error=error)
        if self.error is None:
            self.since = boottime()
        self.error = error


def open_sink(entry: AnyOutput) -> Sink:
    """Return the sink of an output; nothing is opened or connected to yet."""
    if isinstance(entry, StdoutOutput):
        return StdoutSink()
    if isinstance(entry, FileOutput):
        return FileSink(entry.path)
    return SocketSink(entry)


class StdoutSink:
    """Standard output: safe when whoever reads it has taken it over."""

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Write rows."""
        rest = memoryview(_lines(rows, stream))
        while rest:  # not through Python's own buffer, which would be written once more at exit
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
        return rows[-1].seq

    def close(self) -> None:
        """Leave it open."""


class FileSink:
    """A file that grows: safe when the disk has it. It is opened for each batch, so it may be renamed at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = False

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Append rows and flush them to the disk."""
        fresh = not self._path.exists()
        with self._path.open("ab") as file:
            if not self._whole:
                _cut_torn_line(self._path)
            self._whole = False  # until the write is done
            file.write(_lines(rows, stream))
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            _sync_folder(self._path.parent)
        self._whole = True
        return rows[-1].seq

    def close(self) -> None:
        """Nothing is open."""


class SocketSink:
    """A peer on a socket: safe when the peer says so or, where it cannot, when the socket has taken it."""

    def __init__(self, entry: SocketOutput) -> None:
        self._entry = entry
        self._socket: socket.socket | None = None
        self._rest = b""

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Send rows and wait for the peer's word."""
        connection = self._socket or self._connect()
        connection.sendall(_lines(rows, stream))
        if not self._entry.ack:
            return rows[-1].seq
        known = {row.seq for row in rows}
        until = boottime() + self._entry.ack_within_s
        safe = 0
        while safe < rows[-1].seq:
            connection.settimeout(max(until - boottime(), 0.001))
            try:
                acknowledged = self._read_ack(connection)
            except (OSError, DeliveryError):
                if not safe:
                    raise
                self.close()
                return safe
            if acknowledged not in known:
                raise DeliveryError(f"peer acknowledged {acknowledged}; expected one of those sent to it")
            safe = max(safe, acknowledged)
        return safe

    def close(self) -> None:
        """Hang up."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        self._rest = b""
        within_s = self._entry.ack_within_s
        if isinstance(self._entry, TcpOutput):
            self._socket = socket.create_connection((self._entry.host, self._entry.port), timeout=within_s)
        elif isinstance(self._entry, UnixOutput):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(within_s)
            self._socket.connect(str(self._entry.path))
        else:
            raise TypeError(f"got {type(self._entry).__name__}; expected a kind of socket")
        return self._socket

    def _read_ack(self, connection: socket.socket) -> int:
        while b"\n" not in self._rest:
            if not (more := connection.recv(LONGEST_ANSWER_BYTES)):
                raise DeliveryError("peer hung up")
            self._rest += more
            if len(self._rest) > LONGEST_ANSWER_BYTES and b"\n" not in self._rest:
                raise DeliveryError(f"peer answered with over {LONGEST_ANSWER_BYTES} bytes in a line")
        line, self._rest = self._rest.split(b"\n", 1)
        try:
            acknowledged = strict_json.parse(line)["ack"]
        except (ValueError, KeyError, TypeError):
            acknowledged = None
        if type(acknowledged) is not int:
            raise DeliveryError(f'peer answered {line[:80]!r}; expected {{"ack": seq}}')
        return acknowledged


def _lines(rows: Sequence[Row], stream: str) -> bytes:
    return b"".join(to_line(row, stream) for row in rows)


def _cut_torn_line(path: Path) -> None:
    """Cut off a last line without its end: a write that was broken off, and will be done again."""
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        newline = -1
        while end and newline < 0:
            start = max(0, end - TAIL_BYTES)
            newline = os.pread(file.fileno(), end - start, start).rfind(b"\n")
            end = start + newline + 1
        if end < size:
            file.truncate(end)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
