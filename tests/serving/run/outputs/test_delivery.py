"""Delivery to files and sockets, across outages."""

import io
import json
import socket
import threading
import time

import pytest

from threat_scorer.run.config.peers import UnixOutput
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.entries import Entry, Row
from threat_scorer.run.outbox.outbox import Outbox
from threat_scorer.run.outputs.delivery import Delivery, DeliveryError
from threat_scorer.run.outputs.files import FileSink
from threat_scorer.run.outputs.sockets import SocketSink

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

    thread = threading.Thread(target=work, daemon=True)
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
    ("answers", "error", "message"),
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
def test_a_peer_that_answers_nonsense_has_nothing(peer, answers, error, message):
    sink, server = peer
    _, thread = answer(server, *answers)
    with pytest.raises(error, match=message):
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
