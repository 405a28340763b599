"""Records -> a file, standard output or a peer on a socket."""

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from threat_scorer import strict_json
from threat_scorer.run.clock import boottime
from threat_scorer.run.config.peers import (
    AnyOutput,
    CotOutput,
    FileOutput,
    MqttOutput,
    SapientOutput,
    SocketOutput,
    SparkplugOutput,
    StdoutOutput,
    TcpOutput,
    Tls,
    UnixOutput,
)
from threat_scorer.run.outbox.outbox import Row, to_line
from threat_scorer.run.outputs.delivery import DeliveryError, Device, Sink

if TYPE_CHECKING:
    import ssl

LONGEST_ANSWER_BYTES = 4096
TAIL_BYTES = 2**16


def open_sink(entry: AnyOutput, device: Device) -> Sink:
    """Return the sink of an output; nothing is opened or connected to yet.

    Raises
    ------
    ConfigError
        A certificate cannot be used, or what the kind of output needs is not installed.
    """
    # on demand, as most devices have no use for them: they cost memory
    if isinstance(entry, MqttOutput):
        from threat_scorer.run.outputs.mqtt import MqttSink

        return MqttSink(entry, device)
    if isinstance(entry, SparkplugOutput):
        from threat_scorer.run.outputs.sparkplug import SparkplugSink

        return SparkplugSink(entry, device)
    if isinstance(entry, StdoutOutput):
        return StdoutSink()
    if isinstance(entry, FileOutput):
        return FileSink(entry.path)
    if isinstance(entry, CotOutput):
        from threat_scorer.run.outputs.cot import CotSink

        return CotSink(entry)
    if isinstance(entry, SapientOutput):
        from threat_scorer.run.outputs.sapient import SapientSink

        return SapientSink(entry, device)
    return SocketSink(entry)


class StdoutSink(Sink):
    """Standard output: safe when whoever reads it has taken it over."""

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Write rows."""
        rest = memoryview(_lines(rows, stream))
        while rest:  # not through Python's own buffer, which would be written once more at exit
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
        return rows[-1].seq


class FileSink(Sink):
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


class SocketSink(Sink):
    """A peer on a socket: safe when the peer says so or, where it cannot, when the socket has taken it."""

    def __init__(self, entry: SocketOutput) -> None:
        self._entry = entry
        self._tls = tls_of(entry.tls, f"output {entry.name}") if isinstance(entry, TcpOutput) else None
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
            self._socket = connect_tcp(self._entry.host, self._entry.port, self._tls, within_s=within_s)
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


def tls_of(tls: Tls | None, where: str) -> "ssl.SSLContext | None":
    """Return what connects with certificates; None where there are none.

    Raises
    ------
    ConfigError
        One cannot be used.
    """
    if tls is None:
        return None
    from threat_scorer.run.connections.tls import client_context  # ssl is not held where no one needs it

    return client_context(tls, where)


def connect_tcp(host: str, port: int, tls: "ssl.SSLContext | None", *, within_s: float) -> socket.socket:
    """Connect to a peer, with TLS where there are certificates.

    Raises
    ------
    OSError
        It is not there, or not who it should be.
    """
    plain = socket.create_connection((host, port), timeout=within_s)
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


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
