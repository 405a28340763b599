"""The command as a technician meets it: a process with pipes, an exit status and messages."""

import contextlib
import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.tiny_bundle import AREA, CONTRACT, write_bundle

COMMAND = [sys.executable, "-m", "threat_scorer.cli"]
GOOD = '{"id": "d1", "voltage": 0.4, "height": 0.3}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"), CONTRACT, AREA)


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def score(folder, text, model="sensor_threat"):
    return run("score", "--bundle", folder, "--model", model, input=text)


def test_status_0_when_every_line_was_scored(folder):
    done = score(folder, GOOD * 3)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert done.stderr == "threat-scorer: 3 scored, 0 failed\n"


def test_status_1_when_some_were_not_and_their_errors_stand_in_their_place(folder):
    done = score(folder, GOOD + "oops\n" + GOOD)
    scores = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert ["error" in score for score in scores] == [False, True, False]
    assert done.stderr == "threat-scorer: 2 scored, 1 failed\n"


def test_no_lines_are_no_failure(folder):
    assert score(folder, "").returncode == 0


@pytest.mark.parametrize(
    ("bundle", "model", "message"),
    [("nowhere", "sensor_threat", "no such folder"), (None, "sonar", "no model 'sonar'")],
)
def test_status_2_and_one_line_when_the_bundle_cannot_be_used(folder, bundle, model, message):
    done = score(bundle or folder, GOOD, model=model)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_status_2_when_the_arguments_cannot_be_used(folder):
    assert run("score", "--bundle", folder).returncode == 2
    assert run().returncode == 2


def test_the_version_is_that_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[2] / "serving" / "pyproject.toml").read_text())["project"]
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"{project['name']} {project['version']}\n")


@pytest.fixture
def live(folder):
    process = subprocess.Popen(
        [*COMMAND, "score", "--bundle", str(folder), "--model", "sensor_threat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    with process:
        yield process
        process.kill()


def test_a_live_feed_is_answered_line_by_line_before_it_ends(live):
    for number in range(3):
        live.stdin.write(json.dumps({"id": number, "voltage": 0.4, "height": 0.3}).encode() + b"\n")
        assert json.loads(live.stdout.readline())["id"] == number
    live.stdin.close()
    assert live.wait(timeout=60) == 0


def test_ctrl_c_ends_without_a_traceback_and_says_what_was_done(live):
    live.stdin.write(GOOD.encode())
    live.stdout.readline()
    # a signal that comes just before a read begins does not end that read: then a person presses once more
    for _ in range(6):
        live.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            live.wait(timeout=20)
            break
    assert live.returncode == 130
    assert live.stderr.read() == b"threat-scorer: 1 scored, 0 failed\n"


def test_a_reader_that_leaves_ends_the_command_quietly(live):
    live.stdout.close()
    live.stdin.write(GOOD.encode())
    assert live.wait(timeout=60) == 1
    assert live.stderr.read() == b"threat-scorer: 1 scored, 0 failed\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported(folder):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "score", "--bundle", str(folder), "--model", "sensor_threat"],
            input=GOOD,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_info_tells_what_each_model_reads_and_who_may_have_it(folder):
    done = run("info", "--bundle", folder)
    assert done.returncode == 0
    for message in ("model area_risk_28d", "within 28 days", "model sensor_threat", "TLP:CLEAR", "SIMULATED", "0 to 1"):
        assert message in done.stdout
    assert [line.split()[:2] for line in done.stdout.splitlines() if "emi_in_phase" in line] == [
        ["emi_in_phase", "optional"]
    ]


def test_without_stdin_or_stdout_it_says_so(folder):
    command = f"{' '.join(COMMAND)} score --bundle {folder} --model sensor_threat"
    for closed in ("<&-", ">&-"):
        done = subprocess.run(
            ["sh", "-c", f"{command} {closed}"], input="", capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
