"""A Sparkplug B edge node on a real Mosquitto: births, deaths, numbers in order, and what is historical."""

import json
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.broker import needs_mosquitto
from support.tiny_bundle import write_bundle
from support.waiting import until

from threat_scorer.run.outputs.sparkplug_payload import (
    BOOLEAN,
    DOUBLE,
    INT64,
    STRING,
    Metric,
    PayloadError,
    decode,
    encode,
)

NODE = "spBv1.0/lanes/{}/mast-3"
HOST = "spBv1.0/STATE/office"
REBIRTH = Metric("Node Control/Rebirth", BOOLEAN, True)


@pytest.fixture
def node(short_folder, broker, tmp_path_factory):
    """Start a scorer that reads a file and publishes as an edge node."""
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    started = []
    keys = broker.toml("node")

    def start(more=""):
        config = short_folder / "scorer.toml"
        config.write_text(
            f'device = "mast-3"\nbundle = "{bundle}"\nstate = "state"\n'
            '[[input]]\nkind = "file"\nmodel = "sensor_threat"\npath = "in.jsonl"\n'
            f'[[output]]\nkind = "sparkplug"\ngroup = "lanes"\nnode = "mast-3"\n{keys}{more}'
        )
        command = [sys.executable, "-m", "threat_scorer.cli", "run", "--config", str(config)]
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def observe(folder, *numbers):
    with (folder / "in.jsonl").open("a") as file:
        for number in numbers:
            file.write(json.dumps({"id": number, "voltage": 0.4, "height": 0.3}) + "\n")


def messages(client, kind):
    return [decode(bytes(message.payload)) for message in list(client.heard) if message.topic == NODE.format(kind)]


def value(metrics, name):
    return next(metric.value for metric in metrics if metric.name == name)


def records(client):
    return [json.loads(value(metrics, "record")) for metrics in messages(client, "NDATA")]


def numbers_of(client):
    """Return kind and sequence number of each birth and each data, as they came."""
    return [
        (message.topic.split("/")[2], _PAYLOAD_SEQ(bytes(message.payload)))
        for message in list(client.heard)
        if message.topic.split("/")[2] in ("NBIRTH", "NDATA")
    ]


def _PAYLOAD_SEQ(data):
    from threat_scorer.run.outputs.sparkplug_payload import _PAYLOAD

    return _PAYLOAD.FromString(data).seq


@needs_mosquitto
def test_it_is_born_says_its_scores_in_order_and_dies(node, client, short_folder):
    host = client("host", "spBv1.0/lanes/+/mast-3")
    process = node()
    until(lambda: messages(host, "NBIRTH"))
    (birth,) = messages(host, "NBIRTH")
    assert {metric.name: metric.datatype for metric in birth} == {
        "bdSeq": INT64,
        "Node Control/Rebirth": BOOLEAN,
        "probability": DOUBLE,
        "likelihood": STRING,
        "alarm": BOOLEAN,
        "simulated": BOOLEAN,
        "record": STRING,
    }
    observe(short_folder, 1, 2)
    with (short_folder / "in.jsonl").open("a") as file:
        file.write("oops\n")
    until(lambda: len(records(host)) == 3)
    assert [(record["type"], record["id"]) for record in records(host)] == [
        ("score", 1),
        ("score", 2),
        ("rejection", None),
    ]
    first, _, refusal = messages(host, "NDATA")
    assert value(first, "probability") == records(host)[0]["probability"]
    assert value(first, "simulated") is True
    assert not any(metric.historical for metric in first)
    assert {metric.name for metric in refusal} == {"simulated", "record"}
    assert numbers_of(host) == [("NBIRTH", 0), ("NDATA", 1), ("NDATA", 2), ("NDATA", 3)]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    until(lambda: messages(host, "NDEATH"))
    assert value(messages(host, "NDEATH")[0], "bdSeq") == value(birth, "bdSeq") == 0


@needs_mosquitto
def test_killed_it_is_dead_by_its_last_will_and_a_host_can_ask_for_a_birth(node, client, short_folder):
    host = client("host", "spBv1.0/lanes/+/mast-3")
    process = node()
    until(lambda: messages(host, "NBIRTH"))
    for payload in (b"", b"\xff\xff", b"\x12\x01\xff", encode([Metric("other", BOOLEAN, True)], at_ms=0, seq=0)):
        host.say(NODE.format("NCMD"), payload)
    host.say(NODE.format("NCMD"), encode([REBIRTH], at_ms=0, seq=0))
    until(lambda: len(messages(host, "NBIRTH")) == 2)
    observe(short_folder, 1)
    until(lambda: records(host))
    assert numbers_of(host) == [("NBIRTH", 0), ("NBIRTH", 0), ("NDATA", 1)]
    process.kill()
    until(lambda: messages(host, "NDEATH"))


@needs_mosquitto
def test_what_waited_for_the_primary_host_or_the_broker_is_historical(node, broker, client, short_folder):
    host = client("host", "spBv1.0/lanes/+/mast-3")
    node('primary_host = "office"\n')
    observe(short_folder, 1, 2)
    host.say(HOST, b'{"online": false, "timestamp": 10}', retain=True)
    host.say(HOST, b"oops")
    host.say(HOST, b'{"online": true, "timestamp": 5}')  # older than its last word
    time.sleep(0.5)
    assert not messages(host, "NBIRTH")
    host.say(HOST, b'{"online": true, "timestamp": 20}', retain=True)
    until(lambda: len(records(host)) == 2)
    assert all(metric.historical for metrics in messages(host, "NDATA") for metric in metrics)
    observe(short_folder, 3)
    until(lambda: len(records(host)) == 3)
    assert not any(metric.historical for metric in messages(host, "NDATA")[2])
    host.say(HOST, b'{"online": false, "timestamp": 30}', retain=True)
    until(lambda: messages(host, "NDEATH"))
    observe(short_folder, 4)
    broker.stop()
    broker.start()
    host.say(HOST, b'{"online": true, "timestamp": 40}', retain=True)
    until(lambda: 4 in {record["id"] for record in records(host)})
    assert any(metric.historical for metric in messages(host, "NDATA")[-1])
    births = [value(birth, "bdSeq") for birth in messages(host, "NBIRTH")]
    assert len(births) == len(set(births)) == 2


def test_a_payload_is_the_bytes_that_eclipse_tahu_gives_it():
    metrics = [
        Metric("bdSeq", INT64, 3),
        Metric("Node Control/Rebirth", BOOLEAN, False),
        Metric("probability", DOUBLE, 0.25, historical=True),
        Metric("likelihood", STRING, "unlikely"),
        Metric("record", STRING),
    ]
    tahu = (  # made once with the message type generated from Tahu's sparkplug_b.proto
        "08fb80b3c19c3312120a05626453657118fb80b3c19c332004580312210a144e6f646520436f6e74726f6c2f5265626972746818fb80b3c1"
        "9c33200b700012210a0b70726f626162696c69747918fb80b3c19c33200a280169000000000000d03f121f0a0a6c696b656c69686f6f6418"
        "fb80b3c19c33200c7a08756e6c696b656c7912130a067265636f726418fb80b3c19c33200c38011807"
    )
    assert encode(metrics, at_ms=1760000000123, seq=7).hex() == tahu
    assert decode(bytes.fromhex(tahu)) == metrics


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=20).map(lambda data: b"\x12" + bytes([len(data)]) + data)))
def test_any_bytes_are_a_payload_or_are_refused(data):
    try:
        metrics = decode(data)
    except PayloadError:
        return
    assert all(type(metric.name) is str for metric in metrics)
