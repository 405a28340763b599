"""The port: health and metrics for machines, scores over POST, and bounds for every caller."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from codecs import BOM_UTF8
from http.client import HTTPConnection
from pathlib import Path

import pytest
from support.tiny_bundle import write_bundle

GOOD = b'{"id": "d1", "voltage": 0.4, "height": 0.3}'
LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Start a scorer with a port and nothing else to listen on; return the port."""
    folder = Path(tempfile.mkdtemp(prefix="http-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    (folder / "scorer.toml").write_text(
        f'device = "mast"\nbundle = "{bundle}"\nstate = "state"\n'
        f'[http]\nport = {number}\nmodel = "sensor_threat"\n[[output]]\nkind = "file"\npath = "out.jsonl"\n'
    )
    command = [sys.executable, "-m", "threat_scorer.cli", "run", "--config", str(folder / "scorer.toml")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not _answers(number):
        assert time.monotonic() < end
        time.sleep(0.05)
    yield number
    process.terminate()
    assert process.wait(30) == 0
    shutil.rmtree(folder)


def _answers(number):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0


def ask(port, method, path, body=None, headers=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def post(port, body, headers=LINES):
    return ask(port, "POST", "/v1/score", body, headers)


def test_health(port):
    assert ask(port, "GET", "/healthz") == (200, "alive\n")
    assert ask(port, "GET", "/readyz") == (200, "ok\n")


def test_lines_are_scored_in_order_and_each_has_its_place_in_the_stream(port):
    status, text = post(port, GOOD + b"\noops\n" + GOOD.replace(b"d1", b"d2") + b"\n")
    records = [json.loads(line) for line in text.splitlines()]
    assert status == 200
    kinds = [(record["type"], record["id"]) for record in records]
    assert kinds == [("score", "d1"), ("rejection", None), ("score", "d2")]
    assert records[0]["input"] == "http"
    assert [record["seq"] for record in records] == sorted(record["seq"] for record in records)


def test_a_mark_and_blank_lines_are_passed_over(port):
    status, text = post(port, BOM_UTF8 + b"\n" + GOOD + b"\n\r\n" + GOOD.replace(b"d1", b"d2") + b"\n\n")
    assert (status, [json.loads(line)["id"] for line in text.splitlines()]) == (200, ["d1", "d2"])
    status, text = post(port, b"\n \n")
    assert (status, json.loads(text)) == (400, {"error": "got 0 lines; expected 1 to 1000"})


def test_one_record_may_be_json_over_several_lines(port):
    status, text = post(port, json.dumps(json.loads(GOOD), indent=2), {"Content-Type": "application/json"})
    assert (status, json.loads(text)["id"]) == (200, "d1")


def test_metrics_are_in_prometheus_format(port):
    post(port, GOOD)
    status, text = ask(port, "GET", "/metrics")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert status == 200
    assert float(samples['threat_scorer_records_total{result="scored"}']) >= 1
    assert samples['threat_scorer_check{name="progress"}'] == "0"
    assert all(float(value) >= 0 for value in samples.values())
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {sample.split("{")[0] for sample in samples} <= named


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/", None, {}, 404),
        ("GET", "/etc/passwd", None, {}, 404),
        ("POST", "/v1/other", GOOD, LINES, 404),
        ("DELETE", "/v1/score", None, {}, 405),
        ("GET", "/v1/score", None, {}, 405),
        ("POST", "/healthz", GOOD, LINES, 405),
        ("POST", "/v1/score", b"[]", {"Content-Type": "application/json"}, 422),
        ("POST", "/v1/score", GOOD, {"Content-Type": "text/plain"}, 415),
        ("POST", "/v1/score", b"x" * (2**20 + 1), LINES, 413),
        ("POST", "/v1/score", b"x\n" * 1001, LINES, 413),
        ("POST", "/v1/score", GOOD, {**LINES, "Content-Length": "-4"}, 411),
        ("POST", "/v1/score", GOOD, {**LINES, "Content-Length": "9" * 30}, 411),
        ("POST", "/v1/score", GOOD, {**LINES, "Host": "evil.example:80"}, 403),
        ("POST", "/v1/score", GOOD, {**LINES, "Origin": "http://evil.example"}, 403),
        ("GET", "/metrics", None, {"Host": "evil.example"}, 403),
    ],
)
def test_what_is_not_offered_is_refused_by_its_status(port, method, path, body, headers, status):
    try:
        assert ask(port, method, path, body, headers)[0] == status
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413  # it hung up on a body that it did not want


def test_the_api_is_what_its_own_document_says(port, tmp_path):
    schemathesis = Path(sys.executable).with_name("schemathesis")
    # the document cannot know what the model's contract requires of a record: 422 is right for a "valid" one
    bounds = ["--max-examples", "25", "--seed", "7", "--exclude-checks", "positive_data_acceptance", "--no-color"]
    command = [str(schemathesis), "run", f"http://127.0.0.1:{port}/openapi.json", *bounds]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert ask(port, "GET", "/healthz") == (200, "alive\n")


def test_more_connections_than_it_has_room_for_are_sent_away_and_it_goes_on(port):
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    time.sleep(0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one_more:
        assert one_more.recv(100).startswith(b"HTTP/1.0 503")
    for connection in silent:
        connection.close()
    end = time.monotonic() + 30
    while ask(port, "GET", "/healthz")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_silent_connection_is_cut_off(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
        assert silent.recv(100) == b""
