"""TLS with certificates on both sides: who has none, or one of another authority, neither asks nor receives."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection

import pytest
from support.broker import Authority, free_port
from support.tiny_bundle import write_bundle
from support.waiting import until

from threat_scorer.run.config.certificates import Tls
from threat_scorer.run.config.peers import TcpOutput
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outputs.sockets import SocketSink

GOOD = b'{"id": "d1", "voltage": 0.4, "height": 0.3}'


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def port(short_folder, tmp_path_factory, authority):
    """Start a scorer whose port asks for a certificate; return its number."""
    number = free_port()
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    (short_folder / "scorer.toml").write_text(
        f'device = "mast"\nbundle = "{bundle}"\nstate = "state"\ninput = []\n'
        f'[http]\nport = {number}\nhost = "0.0.0.0"\nmodel = "sensor_threat"\ntls = {authority.toml("scorer")}\n'
        '[[output]]\nkind = "file"\npath = "out.jsonl"\n'
    )
    command = [sys.executable, "-m", "threat_scorer.cli", "run", "--config", str(short_folder / "scorer.toml")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: _answers(number))
    yield number
    process.terminate()
    assert process.wait(30) == 0


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def caller(authority, *, shows=None):
    """Return what a caller knows: it believes `authority`, and shows a certificate of `shows`."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    if shows:
        context.load_cert_chain(*map(str, shows.issue("caller")))
    return context


def ask(port, context, method="GET", path="/healthz", body=None):
    connection = HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_caller_with_a_certificate_is_answered_and_no_other(port, authority, tmp_path):
    known = caller(authority, shows=authority)
    assert ask(port, known) == (200, "alive\n")
    status, text = ask(port, known, "POST", "/v1/score", GOOD)
    assert (status, json.loads(text)["id"]) == (200, "d1")
    for stranger in (caller(authority), caller(authority, shows=Authority(tmp_path / "other"))):
        with pytest.raises(OSError):  # refused in the handshake, or at the first word after it
            ask(port, stranger)
    plain = HTTPConnection("127.0.0.1", port, timeout=20)
    plain.request("GET", "/healthz")
    with pytest.raises((OSError, HTTPException)):
        plain.getresponse()
    plain.close()
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]  # they never shake hands
    assert ask(port, known) == (200, "alive\n")
    for connection in silent:
        connection.close()


@pytest.fixture
def peer(authority, tmp_path):
    """Start a receiver that asks for a certificate; return its port and what it took."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*map(str, authority.issue("receiver")))
    taken = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(20)

    def serve():
        plain, _ = server.accept()
        plain.settimeout(20)
        try:
            with context.wrap_socket(plain, server_side=True) as connection:
                taken.append(json.loads(connection.makefile("rb").readline()))
                connection.sendall(b'{"ack": 1}\n')
                connection.recv(1)
        except OSError:
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1], taken
    thread.join()
    server.close()


def deliver(port, authority, shows):
    pem, key = shows.issue("device")
    entry = TcpOutput(port=port, tls=Tls(ca=authority.ca, certificate=pem, key=key))
    sink = SocketSink(entry)
    try:
        return sink.deliver([Row(1, "k", b'{"id": 1}')], "s")
    finally:
        sink.close()


def test_scores_go_to_a_peer_of_our_authority(peer, authority):
    port, taken = peer
    assert deliver(port, authority, authority) == 1
    assert taken[0]["id"] == 1


def test_scores_go_to_no_peer_of_another_authority(peer, authority, tmp_path):
    port, taken = peer
    with pytest.raises(ssl.SSLCertVerificationError):
        deliver(port, Authority(tmp_path / "other"), authority)
    assert not taken


def test_a_peer_can_refuse_us(peer, authority, tmp_path):
    port, taken = peer
    with pytest.raises(Exception, match=r"hung up|alert|reset|EOF|Broken pipe"):
        deliver(port, authority, Authority(tmp_path / "other"))
    assert not taken
