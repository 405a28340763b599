"""Cursor on Target: events that a map's own software takes, whatever a record contains, over UDP, TCP and TLS."""

import asyncio
import configparser
import json
import socket
import ssl
import threading
from datetime import datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.broker import Authority, free_port
from support.score_record import RECORD

from threat_scorer.run.config.certificates import Tls
from threat_scorer.run.config.peers import CotOutput
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outputs.cot import LONGEST_REMARKS, CotSink, to_event
from threat_scorer.run.outputs.delivery import DeliveryError

TCP = CotOutput(port=8087)


def event_of(record, entry=TCP):
    return ElementTree.fromstring(to_event(record, "k1", entry))


def rows(*records):
    return [Row(seq, f"k{seq}", json.dumps(record).encode()) for seq, record in enumerate(records, start=1)]


def test_an_event_says_what_where_until_when_and_that_it_is_simulated():
    event = event_of(RECORD)
    detail, point = event.find("detail"), event.find("point")
    assert (event.tag, event.get("version"), event.get("uid")) == ("event", "2.0", "threat-scorer.k1")
    assert (event.get("type"), event.get("how"), event.get("opex")) == ("a-u-G", "m-s", "s-threat-scorer")
    assert {name: float(value) for name, value in point.attrib.items()} == {
        "lat": 4.5,
        "lon": -74.25,
        "ce": 3.0,
        "hae": 9999999.0,
        "le": 9999999.0,
    }
    assert (event.get("start"), event.get("time")) == (RECORD["observed_at"], RECORD["scored_at"])
    stays = datetime.fromisoformat(event.get("stale")) - datetime.fromisoformat(event.get("time"))
    assert stays.total_seconds() == 86_400
    remarks = detail.find("remarks").text
    assert remarks.startswith("SIMULATED")
    for text in ("likely a hazard (63%)", "voltage 0.4 raises it", "TLP:CLEAR"):
        assert text in remarks
    assert detail.find("contact").get("callsign") == "mast-3 d1"


def test_a_score_with_an_end_is_stale_after_it():
    record = {**RECORD, "expires_at": "2026-12-20T02:00:01.000000Z", "observed_at": None, "simulated": False}
    event = event_of(record)
    assert (event.get("stale"), event.get("start")) == (record["expires_at"], record["scored_at"])
    assert event.get("opex") is None
    assert "SIMULATED" not in event.find("detail/remarks").text


@pytest.mark.parametrize(
    ("changed", "only", "sent"),
    [
        ({}, "alarms", True),
        ({"decision": {"alarm": False}}, "alarms", False),
        ({"decision": {"alarm": False}}, "scores", True),
        ({"type": "refusal"}, "scores", False),
        ({"position": None}, "scores", False),
    ],
)
def test_only_what_is_requested_and_has_a_place_becomes_an_event(changed, only, sent):
    assert (to_event({**RECORD, **changed}, "k", CotOutput(port=1, only=only)) is not None) is sent


@settings(max_examples=300, deadline=None)
@given(
    identity=st.text(max_size=300) | st.integers(),
    reasons=st.lists(st.text(max_size=600), max_size=3),
    device=st.text(),
)
def test_any_text_stays_within_its_place(identity, reasons, device):
    record = json.loads(json.dumps({**RECORD, "id": identity, "reasons": reasons, "device": device}))
    event = event_of(record)
    assert [part.tag for part in event] == ["point", "detail"]
    assert [part.tag for part in event.find("detail")] == ["contact", "remarks", "__threatscorer"]
    assert not list(event.find("detail/remarks"))
    assert len(event.find("detail/remarks").text) <= LONGEST_REMARKS


def test_pytak_takes_it_over_udp():
    import pytak

    port = free_port()
    config = configparser.ConfigParser()
    config["receiver"] = {"COT_URL": f"udp+ro://127.0.0.1:{port}"}

    async def receive():
        reader, _ = await pytak.protocol_factory(config["receiver"])
        worker = pytak.RXWorker(asyncio.Queue(), config["receiver"], reader)
        sink = CotSink(CotOutput(port=port, transport="udp"))
        sent = rows(RECORD, {**RECORD, "id": "d2 <&\"'> \x00 é"})
        assert await asyncio.to_thread(sink.deliver, sent, "s") == 2
        got = [await asyncio.wait_for(worker.readcot(), 20) for _ in range(2)]
        sink.close()
        reader.close()
        return got

    events = [ElementTree.fromstring(data) for data in asyncio.run(receive())]
    assert [event.get("uid") for event in events] == ["threat-scorer.k1", "threat-scorer.k2"]
    assert events[1].find("detail/contact").get("callsign") == "mast-3 d2 <&\"'> \ufffd é"


# ---- a server, plain or with TLS


class Server:
    """Takes one peer at a time, sends `greeting` to each, and keeps what they send."""

    def __init__(self, tls: ssl.SSLContext | None = None, greeting: bytes = b"") -> None:
        self.taken: list[bytes] = []
        self.arrived = threading.Semaphore(0)
        self._tls, self._greeting = tls, greeting
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port = self._server.getsockname()[1]
        self.hang_up = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                plain, _ = self._server.accept()
            except TimeoutError:
                continue
            plain.settimeout(5)
            try:
                with self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as peer:
                    peer.sendall(self._greeting)
                    peer.settimeout(0.1)
                    self._take(peer)
            except OSError:
                plain.close()

    def _take(self, peer: socket.socket) -> None:
        while not self._stop.is_set() and not self.hang_up.is_set():
            try:
                if not (chunk := peer.recv(2**16)):
                    return
            except TimeoutError:
                continue
            self.taken.append(chunk)
            for _ in range(chunk.count(b"</event>")):
                self.arrived.release()
        self.hang_up.clear()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()


@pytest.fixture
def serve():
    servers = []

    def start(*arguments):
        servers.append(Server(*arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_what_a_server_sends_back_is_read_and_one_that_hangs_up_is_noticed(serve):
    # more than socket buffers take: it must be read before our events arrive
    server = serve(None, b"<event/>" * 200_000)
    sink = CotSink(CotOutput(port=server.port))
    for number in range(20):
        assert sink.deliver(rows(RECORD), "s") == 1
        assert server.arrived.acquire(timeout=20), number
    server.hang_up.set()
    with pytest.raises((DeliveryError, OSError)):
        for _ in range(200):
            threading.Event().wait(0.02)
            sink.idle()
    sink.close()
    assert sink.deliver(rows(RECORD), "s") == 1
    assert server.arrived.acquire(timeout=20)
    sink.close()


def test_it_goes_over_tls_to_a_server_of_our_authority_and_no_other(serve, tmp_path):
    authority, other = Authority(tmp_path / "pki"), Authority(tmp_path / "other")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*map(str, authority.issue("server")))
    server = serve(context, b"<event/>")
    pem, key = authority.issue("device")
    sink = CotSink(CotOutput(port=server.port, tls=Tls(ca=authority.ca, certificate=pem, key=key)))
    assert sink.deliver(rows(RECORD), "s") == 1
    assert server.arrived.acquire(timeout=20)
    sink.idle()
    sink.close()
    stranger = CotSink(CotOutput(port=server.port, tls=Tls(ca=other.ca, certificate=pem, key=key)))
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.deliver(rows(RECORD), "s")
    stranger.close()
