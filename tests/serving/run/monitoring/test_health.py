"""The log, the status file and systemd."""

import io
import json
import os
import socket

import pytest

from threat_scorer.run.monitoring import systemd
from threat_scorer.run.monitoring.health import Check, read_status, write_status
from threat_scorer.run.monitoring.log import Log


def test_a_flood_of_one_event_does_not_fill_the_log():
    to = io.StringIO()
    log = Log("info", 3, to=to)
    for number in range(100):
        log.info("record rejected", line=number)
    log.warning("something else")
    log.detail("never shown at this level", body="secret")
    events = [json.loads(line)["event"] for line in to.getvalue().splitlines()]
    assert events == ["record rejected"] * 3 + ["something else"]


OK, QUIET, STUCK = Check("model", "ok", ""), Check("input left", "warning", ""), Check("progress", "failure", "")


@pytest.mark.parametrize(
    ("checks", "every_s", "state", "word"),
    [
        ([OK], 5.0, "running", "working"),
        ([OK, QUIET], 5.0, "running", "quiet"),
        ([OK, QUIET, Check("disk", "warning", "")], 5.0, "running", "degraded"),
        ([OK, QUIET, STUCK], 5.0, "running", "wedged"),
        ([OK], -1.0, "running", "wedged"),
        ([OK], 5.0, "stopped", "stopped"),
    ],
)
def test_quiet_is_distinguished_from_wedged(tmp_path, checks, every_s, state, word):
    path = tmp_path / "status.json"
    write_status(path, checks, every_s=every_s, state=state)
    assert read_status(path).condition == word
    assert read_status(path).checks == tuple(checks)


def test_a_process_that_is_gone_is_stopped_whatever_its_last_word(tmp_path):
    path = tmp_path / "status.json"
    assert read_status(path).condition == "stopped"
    write_status(path, [OK], every_s=5.0, state="running")
    for key, value in (("pid", 2**22 + 1), ("boot", "another")):
        status = json.loads(path.read_text())
        (tmp_path / "old.json").write_text(json.dumps({**status, key: value}))
        assert read_status(tmp_path / "old.json").condition == "stopped"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "running", "checks": [{"name": 1}]}'])
def test_what_is_no_status_file_is_reported(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(ValueError, match="not a status file"):
        read_status(tmp_path / "status.json")


def test_systemd_receives_what_is_sent_to_it(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert systemd.notify("READY=1", "STATUS=well")
        assert listening.recv(100) == b"READY=1\nSTATUS=well"


def test_the_watchdog_is_ours_only_when_it_is_meant_for_us(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.watchdog_s() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_s() is None
