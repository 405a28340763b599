"""HTTP requests -> health, metrics, and scores by way of the queue.

The port answers ``/healthz``, ``/readyz``, ``/metrics``, ``/openapi.json`` and ``POST /v1/score``. It is Python's own
server within bounds: few connections at a time, each with one request. Size and duration of a request are limited.
Pages in a browser cannot use it: it answers only to its own name, and takes only JSON.
"""

import contextlib
import json
import queue as queues
import socket
import threading
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any

from threat_scorer.errors import ConfigError
from threat_scorer.run.clock import boottime
from threat_scorer.run.config.settings import HTTP, Http
from threat_scorer.run.inputs.blank import is_blank
from threat_scorer.run.inputs.listener import to_answer
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outbox.outbox import to_line
from threat_scorer.run.queue import IntakeQueue, Item, Outcome

MOST_CONNECTIONS = 8
LARGEST_BODY_BYTES = 2**20
MOST_LINES = 1000
SILENT_S = 5.0
LONGEST_S = 15.0
"""A connection is cut off after so long, however busy it is."""
SCORED_WITHIN_S = 10.0
JSON, JSON_LINES = "application/json", "application/x-ndjson"
METHODS = {"/healthz": "GET", "/readyz": "GET", "/metrics": "GET", "/openapi.json": "GET", "/v1/score": "POST"}
OPENAPI = Path(__file__).with_name("openapi.json")
NAMES = {"localhost", "127.0.0.1", "[::1]"}


@dataclass(frozen=True)
class Probes:
    """What the port shows of the process."""

    wedged: Callable[[], bool]
    """Return whether the process is stuck."""
    level: Callable[[], str]
    """Return the worst level of all checks: ``ok``, ``warning`` or ``failure``."""
    metrics: Callable[[], str]
    """Return all metrics in Prometheus' text format."""
    stream: str
    """Name of the outbox's sequence."""


class HttpPort:
    """The port: it listens at once, and `serve` answers.

    Parameters
    ----------
    config
        The table ``[http]``.
    queue
        Where the lines of ``POST /v1/score`` go.
    probes
        What the other paths show.

    Raises
    ------
    ConfigError
        It cannot be listened on, or a certificate cannot be used.
    """

    def __init__(self, config: Http, queue: IntakeQueue, probes: Probes) -> None:
        try:
            self._server = _Server(config, queue, probes)
        except OSError as error:
            where = f"{config.host} port {config.port}"
            raise ConfigError(f"http: cannot listen on {where}: {error.strerror}") from None

    def serve(self, stop: threading.Event) -> None:
        """Answer until `stop`."""
        self._server.timeout = 0.2
        with self._server:
            while not stop.is_set():
                self._server.handle_request()
                self._server.cut_off()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, config: Http, queue: IntakeQueue, probes: Probes) -> None:
        self.config, self.queue, self.probes = config, queue, probes
        self._room = threading.Semaphore(MOST_CONNECTIONS)
        self._since: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        self._tls: Any = None
        if config.tls:
            from threat_scorer.run.connections.tls import server_context  # ssl is not loaded where no one needs it

            self._tls = server_context(config.tls, "http")
        super().__init__((config.host, config.port), _Handler)

    def server_bind(self) -> None:  # HTTPServer's own looks up the host's name
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.config.host, self.config.port

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(0.1)
                request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n")
            self.shutdown_request(request)
            return
        if self._tls:  # the handshake waits for the caller: it is left to the connection's own thread
            request = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._since[request] = boottime()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if self._tls and not _shook_hands(request):
                self.shutdown_request(request)
                return
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._since.pop(request, None)
            self._room.release()

    def cut_off(self) -> None:
        """End the connections that take too long."""
        with self._lock:
            overdue = [request for request, since in self._since.items() if boottime() - since > LONGEST_S]
            for request in overdue:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing: a peer that hangs up is no fault of ours."""


def _shook_hands(connection: Any) -> bool:
    """Return whether the caller has shown a certificate of our authority."""
    connection.settimeout(SILENT_S)
    try:
        connection.do_handshake()
    except OSError:
        return False
    return True


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = SILENT_S
    server_version = "threat-scorer"
    sys_version = ""

    def do_GET(self) -> None:
        probes = self.server.probes
        if not self._is_local() or not self._allowed("GET"):
            return
        if self.path == "/healthz":
            wedged = probes.wedged()
            self._send(503 if wedged else 200, "text/plain", b"wedged\n" if wedged else b"alive\n")
        elif self.path == "/readyz":
            level = probes.level()
            self._send(503 if level == "failure" else 200, "text/plain", f"{level}\n".encode())
        elif self.path == "/metrics":
            self._send(200, "text/plain; version=0.0.4; charset=utf-8", probes.metrics().encode())
        else:
            self._send(200, JSON, OPENAPI.read_bytes())

    def do_POST(self) -> None:
        if not self._is_local() or not self._allowed("POST"):
            return
        if self.server.config.model is None:
            self._fail(404, "scoring here is not configured")
        elif (lines := self._read_lines()) is not None:
            self._score(lines)

    def _refuse_method(self) -> None:
        if self._is_local():
            self._allowed(self.command)

    do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_QUERY = _refuse_method

    def _allowed(self, method: str) -> bool:
        path = self.path.partition("?")[0]
        if (expected := METHODS.get(path)) == method:
            self.path = path
            return True
        if expected is None:
            self._fail(404, f"expected one of {', '.join(METHODS)}")
        else:
            self._fail(405, f"got {method}; expected {expected}", Allow=expected)
        return False

    def _is_local(self) -> bool:
        """Refuse a request that a page in a browser could send under another name of this address."""
        config = self.server.config
        name = self.headers.get("Host", "").rsplit(":", 1)[0]
        if (name in NAMES or config.remote or config.tls) and "Origin" not in self.headers:
            return True
        self._fail(403, f"expected Host to be one of {', '.join(sorted(NAMES))}, and no Origin")
        return False

    def _read_lines(self) -> list[bytes] | None:
        kind = self.headers.get_content_type()
        if kind not in (JSON, JSON_LINES):
            self._fail(415, f"Content-Type: got {kind}; expected {JSON} or {JSON_LINES}")
            return None
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10):
            self._fail(411, "expected a Content-Length")
            return None
        if int(length) > LARGEST_BODY_BYTES:
            self._fail(413, f"got {int(length)} bytes; expected at most {LARGEST_BODY_BYTES}")
            return None
        body = self.rfile.read(int(length)).removeprefix(BOM_UTF8)
        if kind == JSON:
            return [body]
        lines = [line for line in body.split(b"\n") if not is_blank(line)]
        if not 1 <= len(lines) <= MOST_LINES:
            self._fail(413 if lines else 400, f"got {len(lines)} lines; expected 1 to {MOST_LINES}")
            return None
        return lines

    def _score(self, lines: list[bytes]) -> None:
        single = self.headers.get_content_type() == JSON
        outcomes: queues.SimpleQueue[Outcome] = queues.SimpleQueue()
        until = boottime() + SCORED_WITHIN_S
        for number, line in enumerate(lines, start=1):
            self.server.queue.put(Item(HTTP, number, line, boottime(), reply=outcomes.put))
        try:
            done = [outcomes.get(timeout=max(until - boottime(), 0.0)) for _ in lines]
        except queues.Empty:
            self._fail(504, "not scored in time; send it again: with an id in each record that is harmless")
            return
        done.sort(key=lambda outcome: outcome.number)
        stream = self.server.probes.stream
        status = 503 if all(outcome.entry is None for outcome in done) else 200
        if single and status == 200 and done[0].entry and done[0].entry.probability is None:
            status = 422
        kind = JSON if single else JSON_LINES
        self._send(status, kind, b"".join(_line(outcome, stream) for outcome in done))

    def _fail(self, status: int, error: str, **headers: str) -> None:
        self._send(status, JSON, json.dumps({"error": error}).encode() + b"\n", **headers)

    def _send(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write nothing: a request may contain what must not be in a log."""


def _line(outcome: Outcome, stream: str) -> bytes:
    if outcome.entry is None or outcome.seq is None:
        return to_answer(outcome)
    return to_line(Row(outcome.seq, outcome.entry.key, outcome.entry.body), stream)
