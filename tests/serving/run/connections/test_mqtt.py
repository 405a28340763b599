"""The running scorer and a real Mosquitto with TLS: kept before acknowledged, through restarts and hostile brokers."""

import io
import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.broker import Authority, Hostile, free_port, needs_mosquitto
from support.tiny_bundle import write_bundle
from support.waiting import until

from threat_scorer.errors import ConfigError
from threat_scorer.run.config.peers import Broker as BrokerEntry
from threat_scorer.run.config.peers import MqttInput
from threat_scorer.run.config.reading import read_config
from threat_scorer.run.connections.mqtt import LARGEST_PACKET_BYTES, Connection
from threat_scorer.run.inputs.mqtt import MqttReader
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.entries import Entry
from threat_scorer.run.queue import IntakeQueue, Outcome

COMMAND = [sys.executable, "-m", "threat_scorer.cli"]
SENSOR, SCORES, HERE = "lane/7/detections", "lane/7/scores", "lane/7/scorer"


def record(number):
    return json.dumps({"id": number, "voltage": 0.4, "height": 0.3})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def config_text(bundle, broker, *, tls=None):
    reaches = f"port = {broker.port}\ntls = {tls}\n" if tls else broker.toml("scorer")
    return (
        f'device = "mast-3"\nbundle = "{bundle}"\nstate = "state"\n[health]\nevery_s = 0.1\n'
        f'[[input]]\nkind = "mqtt"\nmodel = "sensor_threat"\ntopic = "lane/+/detections"\n{reaches}'
        f'[[output]]\nkind = "mqtt"\nname = "scores"\ntopic = "{SCORES}"\navailability = "{HERE}"\n{reaches}'
    )


@pytest.fixture
def scorer(short_folder, bundle, broker):
    started = []

    def start(**options):
        config = short_folder / "scorer.toml"
        config.write_text(config_text(bundle, broker, **options))
        log = (short_folder / "log.jsonl").open("ab")
        started.append(
            subprocess.Popen([*COMMAND, "run", "--config", str(config)], stdin=subprocess.DEVNULL, stderr=log)
        )
        log.close()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def status(folder):
    command = [*COMMAND, "status", "--config", str(folder / "scorer.toml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def payloads(client, topic):
    return [message.payload.decode() for message in list(client.heard) if message.topic == topic]


def scores(client):
    return [json.loads(text) for text in payloads(client, SCORES)]


@needs_mosquitto
def test_a_message_is_scored_and_published_and_the_broker_shows_whether_we_are_here(scorer, client, short_folder):
    process = scorer()
    peer = client("peer", SCORES, HERE)
    until(lambda: payloads(peer, HERE)[-1:] == ["online"])
    until(lambda: status(short_folder).startswith("working"))
    for payload in (record(1), "oops", record(2)):
        peer.say(SENSOR, payload)
    until(lambda: len(scores(peer)) == 3)
    assert [(score["type"], score["id"]) for score in scores(peer)] == [("score", 1), ("rejection", None), ("score", 2)]
    assert all(score["simulated"] for score in scores(peer))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    until(lambda: payloads(peer, HERE)[-1:] == ["offline"])


@needs_mosquitto
def test_while_broker_and_scorer_come_and_go_nothing_is_lost_and_order_is_kept(scorer, broker, client, short_folder):
    process = scorer()
    peer = client("peer", SCORES, HERE)
    until(lambda: payloads(peer, HERE)[-1:] == ["online"])
    until(lambda: status(short_folder).startswith("working"))  # the broker keeps nothing for a session to come
    for number in range(600):
        peer.say(SENSOR, record(number))
        if number == 200:
            process.kill()
            process.wait()
            until(lambda: payloads(peer, HERE)[-1:] == ["offline"])  # by the last will
            process = scorer()
        if number == 400:
            broker.stop()
            broker.start()
        time.sleep(0.002)
    until(lambda: {score["id"] for score in scores(peer)} == set(range(600)))
    first = {}
    for score in scores(peer):
        first.setdefault(score["seq"], score["key"])
    assert list(first) == sorted(first)
    keys = {(score["id"], score["key"]) for score in scores(peer)}
    assert len(keys) == 600, "what came twice has the same key"


@needs_mosquitto
def test_a_message_is_acknowledged_when_it_is_kept_and_not_before(broker, client):
    queue = IntakeQueue(10, "oldest")
    tls = read_tls(broker.authority, "reader")
    entry = MqttInput(model="m", port=broker.port, tls=tls, topic=SENSOR)
    reader = MqttReader(entry, queue, Log("warning", 9, to=io.StringIO()), device="mast")
    stop = threading.Event()
    thread = threading.Thread(target=reader.read, args=(stop,), daemon=True)
    thread.start()
    until(reader.connection.up.is_set)
    peer = client("peer")
    until(lambda: not peer.say(SENSOR, record(1)).rc)
    (item,) = queue.take(1, 20)
    reader.connection.drop()
    (again,) = queue.take(1, 20)
    assert again.line == item.line, "the broker still has it"
    item.reply(Outcome(1, seq=1, entry=Entry("k", b"{}", 0.5)))  # of a connection that is gone: it must not count
    reader.connection.drop()
    (again,) = queue.take(1, 20)
    again.reply(Outcome(3, seq=1, entry=Entry("k", b"{}", 0.5)))
    until(lambda: not peer.say(SENSOR, record(2)).rc)
    (other,) = queue.take(1, 20)
    other.reply(Outcome(4, seq=2, entry=Entry("l", b"{}", 0.5)))
    answered = []
    reader.connection.on_acknowledged = lambda mid, reason: answered.append(mid)
    _, mid = reader.connection.client.subscribe(SENSOR, qos=1)
    until(lambda: mid in answered)  # the broker reads in order: it has the acknowledgements before this too
    reader.connection.drop()
    until(reader.connection.up.is_set)
    assert queue.take(1, 0.5) == [], "what was acknowledged does not come again"
    stop.set()
    item.reply(Outcome(1, error="the process ends"))
    thread.join(20)


def read_tls(authority, name):
    from threat_scorer.run.config.certificates import Tls

    pem, key = authority.issue(name)
    return Tls(ca=authority.ca, certificate=pem, key=key)


@needs_mosquitto
def test_a_broker_or_a_certificate_of_another_authority_is_refused(scorer, broker, short_folder):
    other = Authority(short_folder / "other")
    pem, key = broker.authority.issue("honest")
    scorer(tls=f'{{ ca = "{other.ca}", certificate = "{pem}", key = "{key}" }}')
    until(lambda: "CERTIFICATE_VERIFY_FAILED" in status(short_folder))
    assert status(short_folder).startswith("degraded")


@needs_mosquitto
def test_we_are_refused_with_a_certificate_of_another_authority(scorer, broker, short_folder):
    pem, key = Authority(short_folder / "other").issue("scorer")
    process = scorer(tls=f'{{ ca = "{broker.authority.ca}", certificate = "{pem}", key = "{key}" }}')
    until(lambda: "no connection" in (short_folder / "log.jsonl").read_text())
    assert status(short_folder).startswith("degraded")
    assert process.poll() is None


# ---- brokers that mean harm: a socket that sends what a test likes


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"\x32\xff\xff\xff\x7f" + b"x" * 2**16, id="a message of 256 MiB"),
        pytest.param(b"\x32\x80\x80\x80\x80\x80", id="a length without end"),
        pytest.param(b"\x32\x05\xff\xffabc", id="a topic longer than its packet"),
        pytest.param(b"\x32\x08\x00\x01a\x00\x01\x7f\xff\xff", id="properties longer than their packet"),
        pytest.param(b"\x34\x07\x00\x01a\x00\x01\x00x", id="QoS 2, which was not requested"),
        pytest.param(b"\x30\x05\x00\x02\xff\xfe\x00", id="a topic that is no UTF-8"),
        pytest.param(b"\x90\x02\x00\x01", id="an answer to a subscription, without a reason"),
        pytest.param(b"\x40\x00", id="an empty acknowledgement"),
        pytest.param(b"\x00\x00", id="no kind of packet"),
    ],
)
def test_whatever_a_broker_sends_the_connection_ends_and_is_made_again(packet):
    hostile = Hostile(packet)
    log = io.StringIO()
    connection = Connection(
        BrokerEntry(port=hostile.port),
        where="input",
        client_id="c",
        log=Log("info", 99, to=log),
        on_connect=lambda _: None,
    )
    connection.start()
    until(lambda: hostile.greeted >= 2)
    assert '"no connection"' in log.getvalue()
    assert len(connection.client._in_messages) == 0
    assert len(connection.client._in_packet["packet"]) <= LARGEST_PACKET_BYTES
    connection.close()
    hostile.close()


# ---- configuration

INPUT = '[[input]]\nkind = "mqtt"\nmodel = "sensor_threat"\ntopic = "{}"\nport = 8883\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (INPUT.format("a") + 'host = "broker.example"\n', r"input\[0\].tls: missing; expected certificates"),
        (INPUT.format("a+/b"), r"input\[0\].topic: got 'a\+/b'"),
        (INPUT.format("a/#/b"), r"input\[0\].topic: got 'a/#/b'"),
        (INPUT.format("a") + "window = 0\n", r"input\[0\].window: got 0; expected 1 to 1000"),
        (INPUT.format("a") + 'availability = "here/+"\n', r"input\[0\].availability"),
        (INPUT.format("a") + "tls = { ca = 'a', key = 'b' }\n", r"input\[0\].tls.certificate: missing"),
        ('[[output]]\nkind = "mqtt"\nport = 1883\ntopic = "a/#"\n', r"output\[0\].topic: got 'a/#'"),
        ('[[output]]\nkind = "sparkplug"\nport = 1883\ngroup = "a/b"\nnode = "n"\n', r"output\[0\].group: got 'a/b'"),
    ],
)
def test_a_configuration_that_would_not_work_is_refused_with_its_key(tmp_path, text, message):
    rest = '[[output]]\nkind = "stdout"\n' if "[[input]]" in text else '[[input]]\nkind = "stdin"\nmodel = "m"\n'
    path = tmp_path / "scorer.toml"
    path.write_text('device = "d"\nstate = "s"\n' + text + rest)
    with pytest.raises(ConfigError, match=message):
        read_config(path)


def test_certificates_that_cannot_be_used_are_refused_with_their_key(tmp_path):
    from threat_scorer.run.config.certificates import Tls
    from threat_scorer.run.connections.tls import client_context, server_context

    authority = Authority(tmp_path / "pki")
    pem, key = authority.issue("device")
    good = {"ca": authority.ca, "certificate": pem, "key": key}
    assert client_context(Tls(**good), "output").check_hostname
    _, other = authority.issue("other")
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "text").chmod(0o600)
    for wrong, message in (
        ({"ca": tmp_path / "none"}, r"output.tls.ca: .*No such file"),
        ({"ca": tmp_path / "text"}, r"output.tls.ca: .*not certificates"),
        ({"key": other}, r"output.tls: .*that fit"),
        ({"key": tmp_path / "text"}, r"output.tls: .*that fit"),
    ):
        with pytest.raises(ConfigError, match=message):
            server_context(Tls(**{**good, **wrong}), "output")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"output.tls.key: .*open to everybody"):
        client_context(Tls(**good), "output")
    assert free_port()
