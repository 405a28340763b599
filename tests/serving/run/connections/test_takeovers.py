"""Two connections at one broker: the documented layout loses nothing, and a takeover by another client is reported."""

import io
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.broker import Hostile, needs_mosquitto
from support.tiny_bundle import write_bundle
from support.waiting import until

from threat_scorer.run.config.peers import Broker as BrokerEntry
from threat_scorer.run.connections import takeovers
from threat_scorer.run.connections.mqtt import Connection
from threat_scorer.run.connections.takeovers import (
    SESSION_TAKEN_OVER,
    SUSPICIOUS,
    TAKEN_OVER_S,
    UNEXPLAINED_S,
    UNSPECIFIED,
    Takeovers,
)
from threat_scorer.run.monitoring.log import Log

COMMAND = [sys.executable, "-m", "threat_scorer.cli"]
FIELD = Path(__file__).parents[4] / "docs" / "field.md"
PUBLISHED = 400


def record(number):
    return json.dumps({"id": number, "voltage": 0.4, "height": 0.3})


def documented_layout():
    """Return the configuration under the heading of the broker, as an operator copies it."""
    section = FIELD.read_text(encoding="utf-8").split("### A broker\n")[1]
    return re.search(r"```toml\n(.*?)```", section, re.DOTALL)[1]


# ---- a real broker


@pytest.fixture
def scorer(broker, tmp_path_factory):
    """Start a scorer with the documented layout, beside its certificates."""
    folder = broker.authority.ca.parent
    broker.authority.issue("mast-3")
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    text = documented_layout().replace("broker.example", "127.0.0.1").replace("8883", str(broker.port))
    assert "client_id" not in text
    own = f'device = "mast-3"\nbundle = "{bundle}"\nstate = "state"\nreasons = "none"\n[health]\nevery_s = 0.1\n'
    (folder / "scorer.toml").write_text(own + text)
    started = []

    class Scorer:
        log = folder / "log.jsonl"

        def start(self):
            with self.log.open("ab") as log:
                command = [*COMMAND, "run", "--config", str(folder / "scorer.toml")]
                started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log))
            return started[-1]

        def status(self):
            command = [*COMMAND, "status", "--config", str(folder / "scorer.toml")]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout

    yield Scorer()
    for process in started:
        process.kill()
        process.wait()


def scored(peer):
    """Return how many scores were made of each record; one that is delivered twice has the same `seq`."""
    scores = [json.loads(message.payload) for message in list(peer.heard) if message.topic == "lane/7/scores"]
    return Counter(identity for identity, _ in {(score["id"], score["seq"]) for score in scores})


@needs_mosquitto
def test_with_the_documented_layout_every_record_is_scored_and_no_connection_is_lost(scorer, client):
    scorer.start()
    peer = client("peer", "lane/7/scores")
    until(lambda: scorer.status().startswith("working"))
    for number in range(PUBLISHED):
        peer.say("lane/7/detections", record(number))
    until(lambda: len(scored(peer)) == PUBLISHED)
    assert scored(peer) == Counter(range(PUBLISHED))
    assert "no connection" not in scorer.log.read_text()


@needs_mosquitto
def test_what_the_broker_retains_is_scored_once_whoever_reconnects(scorer, client, broker):
    peer = client("peer", "lane/7/scores")
    peer.say("lane/7/detections", record("retained"), retain=True)
    process = scorer.start()
    until(lambda: scored(peer)["retained"])
    peer.say("lane/7/detections", record("after it"))
    until(lambda: scored(peer)["after it"])  # what came before it is acknowledged
    assert scored(peer)["retained"] == 1
    broker.stop()
    broker.start()
    until(lambda: scorer.status().startswith("working"))
    peer.say("lane/7/detections", record("after the broker"))
    until(lambda: scored(peer)["after the broker"])
    process.kill()
    process.wait()
    peer.say("lane/7/detections", record("while away"))
    scorer.start()
    until(lambda: scored(peer)["while away"])
    peer.say("lane/7/detections", record("after the scorer"))
    until(lambda: scored(peer)["after the scorer"])
    assert scored(peer)["retained"] == 1


@needs_mosquitto
@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_client_that_takes_a_session_over_is_reported_in_status_and_log(scorer, client, direction):
    scorer.start()
    until(lambda: scorer.status().startswith("working"))
    taken = f"threat-scorer-mast-3-{direction}-mqtt"
    client(taken)
    until(lambda: "another client took" in (seen := scorer.status()) and repr(taken) in seen)
    assert scorer.status().startswith("degraded")
    assert "another client took" in scorer.log.read_text()


# ---- how a takeover is reported


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        pytest.param("e0028e00", r"connection lost: Session taken over; another client took over .*'c' at", id="142"),
        pytest.param("e0018e", r"connection lost: Session taken over; another client took over", id="142 alone"),
        pytest.param("e0028b00", r"connection lost: Server shutting down$", id="another reason"),
    ],
)
def test_the_reason_that_a_broker_gives_is_reported(packet, reason):
    hostile = Hostile(bytes.fromhex(packet))
    log = io.StringIO()
    entry = BrokerEntry(port=hostile.port)
    connection = Connection(entry, where="in", client_id="c", log=Log("info", 99, to=log), on_connect=lambda _: None)
    connection.start()
    until(lambda: hostile.greeted >= 2)
    connection.close()
    hostile.close()
    lost = [json.loads(line).get("error") for line in log.getvalue().splitlines() if "no connection" in line]
    assert re.search(reason, lost[0])
    assert "Unspecified" not in log.getvalue()


def test_a_broker_that_refuses_us_is_reported_with_its_reason():
    hostile = Hostile(b"", greeting=bytes.fromhex("2003008700"))
    log = Log("info", 99, to=io.StringIO())
    entry = BrokerEntry(port=hostile.port)
    connection = Connection(entry, where="in", client_id="c", log=log, on_connect=lambda _: None)
    connection.start()
    until(lambda: "refused by the broker: Not authorized" in (connection.trouble or ""))
    connection.close()
    hostile.close()


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(takeovers, "boottime", lambda: Clock.now)
    return Clock


def test_a_takeover_that_the_broker_tells_is_reported_for_a_while(clock):
    seen = Takeovers("c", "b:1")
    seen.note(SESSION_TAKEN_OVER)
    clock.now += TAKEN_OVER_S - 1
    assert seen.message().startswith("another client took over the session 'c' at b:1")
    clock.now += 2
    assert seen.message() is None


def test_losses_without_a_reason_look_like_takeovers_when_many_come_together(clock):
    seen = Takeovers("c", "b:1")
    for _ in range(SUSPICIOUS):
        assert seen.message() is None
        seen.note(UNSPECIFIED)
    assert "probably another client took it over" in seen.message()
    clock.now += UNEXPLAINED_S
    assert seen.message() is None
    for _ in range(2 * SUSPICIOUS):
        seen.note(139)  # the server shuts down
        clock.now += UNEXPLAINED_S / SUSPICIOUS
        seen.note(UNSPECIFIED)  # one at a time, as a poor link
        clock.now += UNEXPLAINED_S
    assert seen.message() is None


# ---- what is not installed


MQTT_IN = '[[input]]\nkind = "mqtt"\nmodel = "sensor_threat"\ntopic = "a"\nport = 1883\n'
MQTT_OUT = '[[output]]\nkind = "mqtt"\ntopic = "b"\nport = 1883\n'
SPARKPLUG = '[[output]]\nkind = "sparkplug"\ngroup = "g"\nnode = "n"\nport = 1883\n'
STDIN = '[[input]]\nkind = "stdin"\nmodel = "sensor_threat"\n'
FILE = '[[output]]\nkind = "file"\npath = "scores.jsonl"\n'


SAPIENT = '[[output]]\nkind = "sapient"\nport = 5020\n'
NO_PAHO = "mqtt: paho-mqtt is not installed; expected `pip install threat-scorer[mqtt]`"
NO_PROTOBUF = "sparkplug: protobuf is not installed; expected `pip install threat-scorer[mqtt]`"
NO_SAPIENT = "sapient: protobuf or sapient-proto is not installed; expected `pip install threat-scorer[sapient]`"


@pytest.mark.parametrize(
    ("text", "missing", "hint"),
    [
        (MQTT_IN + FILE, "paho", NO_PAHO),
        (STDIN + MQTT_OUT, "paho", NO_PAHO),
        (STDIN + SPARKPLUG, "paho", NO_PAHO),
        (STDIN + SPARKPLUG, "google.protobuf", NO_PROTOBUF),
        (STDIN + SAPIENT, "google.protobuf", NO_SAPIENT),
        (STDIN + SAPIENT, "sapient_msg", NO_SAPIENT),
    ],
)
def test_without_its_extra_an_output_ends_in_the_hint(tmp_path, tmp_path_factory, text, missing, hint):
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    config = tmp_path / "scorer.toml"
    config.write_text(f'device = "d"\nstate = "s"\nbundle = "{bundle}"\n' + text)
    program = f"import sys; sys.modules[{missing!r}] = None; from threat_scorer.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (2, f"threat-scorer: {hint}\n")
