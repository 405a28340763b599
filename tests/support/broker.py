"""A real Mosquitto with TLS and its certificates, a client to play the sensor or the receiver, and a false broker."""

import contextlib
import ipaddress
import shutil
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="no Mosquitto here: apt-get install mosquitto")
CONNACK = bytes.fromhex("2003000000")


class Authority:
    """Signs certificates for 127.0.0.1 into a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(self._name, self._key.public_key(), authority=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key.public_key(), authority=False)
        pem, secret = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret.touch(mode=0o600)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pem, secret

    def toml(self, name: str) -> str:
        """Return the value of a `tls` key of scorer.toml, for a new certificate of that name."""
        pem, key = self.issue(name)
        return f'{{ ca = "{self.ca}", certificate = "{pem}", key = "{key}" }}'

    def _signed(self, subject, public_key, *, authority):
        now = datetime.now(UTC)
        key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A Mosquitto that takes only clients with a certificate.

    With `keeps`, sessions and messages outlive a restart: it writes them down at every change.
    """

    def __init__(self, folder: Path, *, keeps: bool = True) -> None:
        self.authority = Authority(folder / "pki")
        self.port = free_port()
        pem, key = self.authority.issue("broker")
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\ncafile {self.authority.ca}\ncertfile {pem}\nkeyfile {key}\n"
            "require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
            + (f"persistence true\npersistence_location {folder}/\n" if keeps else "")
            + "autosave_interval 1\nautosave_on_changes true\n"
            "max_queued_messages 0\nset_tcp_nodelay true\nuser root\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [str(MOSQUITTO), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < end, "Mosquitto does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it."""
        if self._process:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def toml(self, name: str) -> str:
        """Return the keys of scorer.toml that lead here, for a client of that name."""
        return f"port = {self.port}\ntls = {self.authority.toml(name)}\n"


class Client:
    """Another client of a broker: publishes, and keeps what it hears."""

    def __init__(self, broker: Broker, name: str, *topics: str, will: tuple[str, str] | None = None) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        pem, key = broker.authority.issue(name)
        self._client.tls_set(str(broker.authority.ca), str(pem), str(key))
        self._client.reconnect_delay_set(1, 1)
        self._client.on_socket_open = lambda _client, _data, opened: opened.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._client.on_message = lambda _client, _data, message: self.heard.append(message)
        self._client.on_connect = lambda client, *_: (
            client.subscribe([(topic, 1) for topic in topics]) if topics else self._ready.set()
        )
        self._client.on_subscribe = lambda *_: self._ready.set()
        if will:
            self._client.will_set(will[0], will[1].encode(), qos=1, retain=True)
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 600
        self._client.connect("127.0.0.1", broker.port, 30, clean_start=False, properties=session)
        self._client.loop_start()
        assert self._ready.wait(20)

    def say(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> paho.MQTTMessageInfo:
        """Publish."""
        return self._client.publish(topic, payload, qos=qos, retain=retain)

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(Exception):
            self._client.disconnect()
        self._client.loop_stop()


class Hostile:
    """Accepts every client, says `greeting` and then `packet`."""

    def __init__(self, packet: bytes, *, greeting: bytes = CONNACK) -> None:
        self.greeted = 0
        self._packet, self._greeting = packet, greeting
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                try:
                    connection.recv(1000)
                    connection.sendall(self._greeting)
                    self.greeted += 1
                    for _ in range(50):
                        connection.sendall(self._packet)
                    while connection.recv(1000):
                        pass
                except OSError:
                    pass

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()
        self._server.close()
