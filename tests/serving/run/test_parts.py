"""The parts of the running scorer one by one: queue, followed files, sinks, log, health."""

import io
import json
import os
import socket
import threading
import time

import pytest

from threat_scorer.run.config.peers import UnixOutput
from threat_scorer.run.inputs.files import FollowedFile
from threat_scorer.run.monitoring import systemd
from threat_scorer.run.monitoring.health import Check, read_status, write_status
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.outbox import Entry, Outbox, Row
from threat_scorer.run.outputs.delivery import Delivery, DeliveryError
from threat_scorer.run.outputs.files import FileSink
from threat_scorer.run.outputs.sockets import SocketSink
from threat_scorer.run.queue import IntakeQueue, Item, Outcome
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong

# ---- queue


def items(count, outcomes, *, replies=True):
    reply = outcomes.append if replies else None
    return [Item("in", number, b"", 0.0, reply=reply) for number in range(1, count + 1)]


@pytest.mark.parametrize(("overload", "refused", "left"), [("oldest", [1, 2], [3, 4]), ("newest", [3, 4], [1, 2])])
def test_a_full_queue_refuses_by_the_policy_tells_the_sender_and_counts(overload, refused, left):
    outcomes: list[Outcome] = []
    queue = IntakeQueue(2, overload)
    assert all(queue.put(item) for item in items(4, outcomes))
    assert [(outcome.number, outcome.seq) for outcome in outcomes] == [(number, None) for number in refused]
    assert all("overload" in str(outcome.error) for outcome in outcomes)
    assert [item.number for item in queue.take(10, 0.0)] == left
    assert queue.refused == 2


@pytest.mark.parametrize(("overload", "replies"), [("wait", True), ("oldest", False), ("newest", False)])
def test_an_input_that_can_wait_waits_for_room(overload, replies):
    outcomes: list[Outcome] = []
    queue = IntakeQueue(2, overload)
    put = threading.Thread(target=lambda: [queue.put(item) for item in items(6, outcomes, replies=replies)])
    put.start()
    taken = []
    while len(taken) < 6:
        taken += [item.number for item in queue.take(1, 1.0)]
    put.join()
    assert (taken, outcomes, queue.refused) == ([1, 2, 3, 4, 5, 6], [], 0)


def test_long_lines_fill_a_queue_by_their_size():
    outcomes: list[Outcome] = []
    queue = IntakeQueue(1000, "newest", limit_bytes=100)
    lines = [Item("in", number, b"x" * 60, 0.0, reply=outcomes.append) for number in range(1, 5)]
    assert all(queue.put(line) for line in lines)
    assert [outcome.number for outcome in outcomes] == [3, 4]
    assert [item.number for item in queue.take(1, 0.0)] == [1]
    assert queue.put(lines[0])
    assert [item.number for item in queue.take(10, 0.0)] == [2, 1]
    assert queue.put(lines[0])
    assert queue.refused == 2


def test_a_closed_queue_takes_nothing_more_and_lets_nobody_wait():
    queue = IntakeQueue(1, "wait")
    first, second = items(2, [])
    assert queue.put(first)
    threading.Timer(0.05, queue.close).start()
    assert not queue.put(second)
    assert queue.take(5, 0.0) == [first]


# ---- followed files


def lines_of(file, count):
    """Read `count` lines; return them with the place after the last one."""
    got, last = [], []

    def put(number, line, place, position):
        got.append(line)
        last.append(position)
        return len(got) < count

    stop = threading.Event()
    timer = threading.Timer(10, stop.set)
    timer.start()
    file.follow(put, stop)
    timer.cancel()
    assert len(got) == count
    return got, last[-1]


def test_a_file_is_read_on_where_it_was_left_across_a_restart(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\ntwo\nthree\nfou")
    got, place = lines_of(FollowedFile(path, None), 2)
    assert got == [b"one", b"two"]
    with path.open("ab") as file:
        file.write(b"r\n")
    assert lines_of(FollowedFile(path, place), 2)[0] == [b"three", b"four"]


def test_a_file_that_was_renamed_while_nobody_read_is_finished_first(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\ntwo\n")
    _, place = lines_of(FollowedFile(path, None), 1)
    path.rename(tmp_path / "in.jsonl.1")
    path.write_bytes(b"three\n")
    assert lines_of(FollowedFile(path, place), 2)[0] == [b"two", b"three"]


def test_a_file_is_followed_across_rotation(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\n")
    got, seen = [], threading.Event()
    stop = threading.Event()

    def put(number, line, place, position):
        got.append(line)
        seen.set()
        return line != b"end"

    thread = threading.Thread(target=FollowedFile(path, None).follow, args=(put, stop))
    thread.start()
    assert seen.wait(10)
    with path.open("ab") as file:
        file.write(b"two")  # its end never comes: the writer was cut off
    path.rename(tmp_path / "old")
    path.write_bytes(b"three\nend\n")
    thread.join(10)
    stop.set()
    assert got == [b"one", b"two", b"three", b"end"]


def test_another_file_with_the_same_name_is_read_from_its_start(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\ntwo\n")
    _, place = lines_of(FollowedFile(path, None), 2)
    status = path.stat()
    with path.open("r+b") as file:  # the same inode, as after deleting and making anew
        file.write(b"uno\ndos\ntres\n")
    assert path.stat().st_ino == status.st_ino
    assert lines_of(FollowedFile(path, place), 3)[0] == [b"uno", b"dos", b"tres"]


def test_a_line_without_measure_is_passed_over_and_told(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"x" * (2 * LONGEST_LINE_BYTES) + b"\nlast\n")
    got, _ = lines_of(FollowedFile(path, None), 2)
    assert isinstance(got[0], TooLong)
    assert got[1] == b"last"


# ---- sinks and delivery

ROWS = [Row(3, "a", b'{"id": 1}'), Row(5, "b", b'{"id": 2}')]


def test_a_file_gets_every_record_whole_and_a_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"seq": 1}\n{"seq": 2, "to')
    sink = FileSink(path)
    assert sink.deliver(ROWS[:1], "s") == 3
    assert sink.deliver(ROWS[1:], "s") == 5
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [1, 3, 5]
    path.unlink()  # a log rotated away
    sink.deliver(ROWS[1:], "s")
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [5]


@pytest.fixture
def peer(tmp_path):
    """Return a sink, and a listening socket that it connects to."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "peer.sock"))
        server.listen(1)
        server.settimeout(10)
        sink = SocketSink(UnixOutput(name="out", path=tmp_path / "peer.sock", ack_within_s=0.5))
        yield sink, server
        sink.close()


def answer(server, *answers, hang_up=True):
    """Accept one connection in a thread, read two lines, and send `answers`."""
    got = []

    def work():
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            got.extend(json.loads(lines.readline()) for _ in range(2))
            for line in answers:
                connection.sendall(line)
            if not hang_up:
                time.sleep(1)

    thread = threading.Thread(target=work)
    thread.start()
    return got, thread


def test_a_record_is_safe_when_the_peer_says_so(peer):
    sink, server = peer
    got, thread = answer(server, b'{"ack"', b": 3}\n", b'{"ack": 5}\n')
    assert sink.deliver(ROWS, "s") == 5
    thread.join()
    assert [(record["seq"], record["key"], record["id"]) for record in got] == [(3, "a", 1), (5, "b", 2)]


def test_a_peer_that_leaves_half_way_has_what_it_acknowledged_and_no_more(peer):
    sink, server = peer
    _, thread = answer(server, b'{"ack": 3}\n')
    assert sink.deliver(ROWS, "s") == 3
    thread.join()


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ([], DeliveryError, "hung up"),
        ([b'{"ack": 4}\n'], DeliveryError, "acknowledged 4"),
        ([b'{"ack": 99}\n'], DeliveryError, "acknowledged 99"),
        ([b'{"ack": true}\n'], DeliveryError, "expected"),
        ([b"[]\n"], DeliveryError, "expected"),
        ([b"\xff\n"], DeliveryError, "expected"),
        ([b"x" * 10_000], DeliveryError, "over 4096 bytes"),
    ],
)
def test_a_peer_that_answers_nonsense_has_nothing(peer, answers, error, said):
    sink, server = peer
    _, thread = answer(server, *answers)
    with pytest.raises(error, match=said):
        sink.deliver(ROWS, "s")
    thread.join()


def test_a_peer_that_says_nothing_is_given_up_after_a_while(peer):
    sink, server = peer
    _, thread = answer(server, hang_up=False)
    with pytest.raises(TimeoutError):
        sink.deliver(ROWS, "s")
    thread.join()


def test_after_an_outage_everything_is_delivered_in_order(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite", outputs=["out"], limit_bytes=10**6, when_full="oldest")
    delivery = Delivery("out", FileSink(tmp_path / "later/out.jsonl"), outbox, Log("warning", 1, to=io.StringIO()))
    numbers = outbox.put([Entry(f"k{number}", b'{"id": %d}' % number, 0.5) for number in range(600)])
    assert not delivery.step(threading.Event(), wait_s=0.0, patient=False)
    assert "No such file" in str(delivery.error)
    (tmp_path / "later").mkdir()
    delivery.drain(time.clock_gettime(time.CLOCK_BOOTTIME) + 10)
    lines = [json.loads(line) for line in (tmp_path / "later/out.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == numbers
    assert [line["id"] for line in lines] == list(range(600))
    assert (outbox.depth, delivery.error) == (0, None)
    outbox.close()


# ---- log and health


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
def test_quiet_is_told_from_wedged(tmp_path, checks, every_s, state, word):
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
def test_what_is_no_status_file_is_said(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(ValueError, match="not a status file"):
        read_status(tmp_path / "status.json")


def test_systemd_hears_what_is_said_to_it(tmp_path, monkeypatch):
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
