"""Records of the outbox -> a peer on a socket, which acknowledges them by their sequence number."""

import socket
from collections.abc import Sequence

from threat_scorer.parsing import strict_json
from threat_scorer.run.clock import boottime
from threat_scorer.run.config.peers import SocketOutput, TcpOutput, UnixOutput
from threat_scorer.run.connections.tcp import client_tls, connect_tcp
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outbox.outbox import to_lines
from threat_scorer.run.outputs.delivery import DeliveryError, Sink

LONGEST_ANSWER_BYTES = 4096


class SocketSink(Sink):
    """A peer on a socket: a record is delivered when the peer acknowledges it.

    With ``ack = false`` a record is delivered when the socket has taken it.
    """

    def __init__(self, entry: SocketOutput) -> None:
        self._entry = entry
        self._tls = client_tls(entry.tls, f"output {entry.name}") if isinstance(entry, TcpOutput) else None
        self._socket: socket.socket | None = None
        self._rest = b""

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Send rows and wait for the peer's acknowledgement."""
        connection = self._socket or self._connect()
        connection.sendall(to_lines(rows, stream))
        if not self._entry.ack:
            return rows[-1].seq
        known = {row.seq for row in rows}
        until = boottime() + self._entry.ack_within_s
        stored = 0
        while stored < rows[-1].seq:
            connection.settimeout(max(until - boottime(), 0.001))
            try:
                acknowledged = self._read_ack(connection)
            except (OSError, DeliveryError):
                if not stored:
                    raise
                self.close()
                return stored
            if acknowledged not in known:
                raise DeliveryError(f"peer acknowledged {acknowledged}; expected one of those sent to it")
            stored = max(stored, acknowledged)
        return stored

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
            if not (chunk := connection.recv(LONGEST_ANSWER_BYTES)):
                raise DeliveryError("peer hung up")
            self._rest += chunk
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
