"""The running scorer as a technician meets it: a process, its peers, its status, and kill -9."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from soak.soak import soak
from support.signed_bundle import Headquarters
from support.tiny_bundle import write_bundle
from support.waiting import until

from threat_scorer import Scorer
from threat_scorer.device.provisioning import provision
from threat_scorer.device.slots import install

COMMAND = [sys.executable, "-m", "threat_scorer.cli"]
CONFIG = """device = "mast-3"
bundle = "{bundle}"
state = "state"
[health]
every_s = 0.1
"""
STDIN = '[[input]]\nkind = "stdin"\nmodel = "sensor_threat"\n'
UNIX = '[[input]]\nkind = "unix"\nmodel = "sensor_threat"\npath = "in.sock"\n'
STDOUT = '[[output]]\nkind = "stdout"\n'
FILE = '[[output]]\nkind = "file"\npath = "out.jsonl"\n'
GOOD = '{"id": "d1", "voltage": 0.4, "height": 0.3}\n'


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="run-"))  # short: a Unix socket's path has at most 107 bytes
    yield made
    shutil.rmtree(made)


@pytest.fixture
def config(folder, bundle):
    def write(*parts):
        path = folder / "scorer.toml"
        path.write_text(CONFIG.format(bundle=bundle) + "".join(parts))
        return path

    return write


def run(config, text=""):
    command = [*COMMAND, "run", "--config", str(config)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)


def status(config):
    done = subprocess.run(
        [*COMMAND, "status", "--config", str(config)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout.splitlines()[0] if done.stdout else done.stderr


@pytest.fixture
def live(config, folder):
    """Start the process with a Unix socket as input; return it once it listens."""
    started = []

    def start(*parts):
        process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(config(UNIX, *parts))], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        started.append(process)
        until(lambda: connects(folder / "in.sock"))
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def connects(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def converse(folder, *lines):
    """Send lines; return the answer to each."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(folder / "in.sock"))
        connection.sendall("".join(lines).encode())
        with connection.makefile("r") as answers:
            return [json.loads(answers.readline()) for _ in lines]


def test_it_ends_with_standard_input_when_all_is_delivered(config):
    done = run(config(STDIN, STDOUT), GOOD + "oops\n" + GOOD.replace("d1", "d2"))
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [(record["type"], record["id"]) for record in records] == [
        ("score", "d1"),
        ("rejection", None),
        ("score", "d2"),
    ]
    assert [record["seq"] for record in records] == sorted(record["seq"] for record in records)


def test_each_line_is_answered_once_it_is_on_disk(live, folder):
    live(FILE)
    good, bad, same = converse(folder, GOOD, "oops\n", GOOD)
    assert (good["line"], bad["line"], same["line"]) == (1, 2, 3)
    assert "not JSON" in bad["error"]
    assert "retry" not in bad
    assert good["key"] == same["key"]
    until(lambda: (folder / "out.jsonl").exists() and len((folder / "out.jsonl").read_text().splitlines()) >= 2)
    keys = [json.loads(line)["key"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert {good["key"], bad["key"]} == set(keys)


def test_a_full_outbox_that_refuses_says_so_and_goes_on_when_there_is_room(live, folder):
    live('[outbox]\nlimit_mib = 0.01\nwhen_full = "refuse"\n', FILE.replace("out.jsonl", "later/out.jsonl"))
    lines = [GOOD.replace("d1", f"d{number}") for number in range(60)]
    answers = converse(folder, *lines)
    refused = [answer for answer in answers if answer.get("retry")]
    assert 0 < len(refused) < len(lines)
    assert all("full" in answer["error"] for answer in refused)
    (folder / "later").mkdir()
    kept = {answer["key"] for answer in answers if "key" in answer}
    out = folder / "later/out.jsonl"
    until(lambda: out.exists() and {json.loads(line)["key"] for line in out.read_text().splitlines()} == kept)
    refused_lines = [lines[answer["line"] - 1] for answer in refused][:5]
    until(lambda: all("key" in answer for answer in converse(folder, *refused_lines)))


def test_sigterm_ends_it_in_order_and_the_status_says_so(live, config, folder):
    process = live(FILE)
    converse(folder, GOOD)
    until(lambda: status(folder / "scorer.toml") == (0, "working"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert status(folder / "scorer.toml") == (2, "stopped")
    assert len((folder / "out.jsonl").read_text().splitlines()) == 1


def test_a_process_that_stands_still_is_wedged_and_one_that_hears_nothing_is_quiet(live, folder):
    process = live("quiet_after_s = 1\n", FILE)
    until(lambda: status(folder / "scorer.toml") == (0, "quiet"))
    process.send_signal(signal.SIGSTOP)
    until(lambda: status(folder / "scorer.toml") == (2, "wedged"))
    process.send_signal(signal.SIGCONT)
    until(lambda: status(folder / "scorer.toml") == (0, "quiet"))


def test_an_output_that_is_down_is_reported_as_degraded(live, folder):
    live(FILE.replace("out.jsonl", "later/out.jsonl"))
    converse(folder, GOOD)
    until(lambda: status(folder / "scorer.toml") == (1, "degraded"))


def test_no_position_is_in_log_or_status(live, folder):
    process = live(FILE)
    secret = '{"id": "d1", "voltage": 0.4, "height": 0.3, "latitude_deg": 12.34567, "longitude_deg": "98.76543"}\n'
    converse(folder, secret, secret.replace("0.4", '"12.34567"'), secret.replace('"d1"', "[12.34567]"))
    time.sleep(0.3)  # for the status file to be written again
    process.terminate()
    _, log = process.communicate(timeout=30)
    written = log.decode() + (folder / "state/status.json").read_text()
    assert "record rejected" in written
    assert "12.34567" not in written
    assert "98.76543" not in written


def test_without_a_bundle_to_practise_with_it_runs_the_one_that_was_installed_and_nothing_else(folder):
    office = Headquarters(folder)
    config = folder / "scorer.toml"
    config.write_text('device = "mast-3"\nstate = "device"\n' + STDIN + STDOUT)
    (folder / "device").mkdir()
    refused = run(config, GOOD)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "state.json" in refused.stderr
    now = datetime.now(UTC)
    provision(folder / "device", office.trust_file(), partner=None, now=now)
    signed = office.bundle(1, not_before=now - timedelta(days=1), expires=now + timedelta(days=2))
    install(folder / "device", signed, now=now)
    done = run(config, GOOD)
    assert json.loads(done.stdout)["bundle"].startswith("tiny")
    assert "expires in 2 days" in (folder / "device/status.json").read_text()


def test_bench_tells_of_every_model(bundle):
    command = [*COMMAND, "bench", "--bundle", str(bundle), "--rows", "50", "--ticks", "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[1].startswith("sensor_threat")
    assert lines[-1].startswith("memory")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_it_takes_and_gives_over_tcp_on_this_machine(live, folder):
    here, there = free_port(), free_port()
    with socket.create_server(("127.0.0.1", there)) as server:
        server.settimeout(30)
        live(
            f'[[input]]\nkind = "tcp"\nmodel = "sensor_threat"\nport = {here}\n',
            f'[[output]]\nkind = "tcp"\nport = {there}\n',
        )
        with socket.create_connection(("127.0.0.1", here), timeout=30) as peer, peer.makefile("r") as answers:
            peer.sendall(GOOD.encode())
            answer = json.loads(answers.readline())
        receiver, _ = server.accept()
        with receiver, receiver.makefile("r") as lines:
            record = json.loads(lines.readline())
            receiver.sendall(b'{"ack": %d}\n' % record["seq"])
            until(lambda: status(folder / "scorer.toml") == (0, "working"))
        assert (record["seq"], record["key"], record["input"]) == (answer["seq"], answer["key"], "tcp")


def sockets_of(pid):
    """Return the kernel's numbers of the sockets that a process has open."""
    links = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            links.add(str(path.readlink()))
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="reads Linux's own tables")
def test_it_opens_no_port_that_is_not_configured(live, folder):
    process = live(FILE)
    converse(folder, GOOD)
    sockets = sockets_of(process.pid)
    tables = [Path(f"/proc/{process.pid}/net/{name}").read_text() for name in ("tcp", "tcp6", "udp", "udp6")]
    internet = {line.split()[9] for table in tables for line in table.splitlines()[1:]}
    assert sockets, "its Unix sockets are seen"
    assert not sockets & internet


def test_two_cannot_share_a_state_folder(live, folder):
    live(FILE)
    done = run(folder / "scorer.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "in use by another process" in done.stderr


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((STDIN.replace("sensor_threat", "sonar"), STDOUT), "no model 'sonar'"),
        (("operating_point = 'no'\n", STDIN, STDOUT), "health.operating_point: unknown key"),
        ((UNIX.replace("in.sock", "no/in.sock"), STDOUT), "input unix: cannot listen"),
        ((STDIN,), "output: missing"),
    ],
)
def test_what_keeps_it_from_starting_is_reported_in_one_line(config, parts, message):
    done = run(config(*parts))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_killed_over_and_over_it_loses_nothing_and_changes_nothing(bundle, folder):
    report = soak(bundle, "sensor_threat", cycles=10, seed=11, folder=folder, say=lambda _: None)
    assert report.right, vars(report)
    assert report.rejected > 0
    assert report.sent_again > 0, "some were killed before they were acknowledged"
    assert report.scored + report.rejected > 1000


def test_the_soak_sees_a_line_that_is_lost_or_changed(bundle, folder):
    from soak.peers import Lines, Receiver
    from soak.soak import _judge

    lines = Lines(Scorer.load(bundle), "sensor_threat")
    receiver = Receiver(folder / "s", None)
    receiver.arrivals = {1: [(1, "a", lines.expected(1))], 2: [(2, "b", 0.1234)], 3: [(3, "c", lines.expected(3))] * 2}
    assert _judge(lines, [1, 3], receiver).right
    assert _judge(lines, [1, 2], receiver).changed == 1
    assert _judge(lines, [1, 4], receiver).missing == 1
