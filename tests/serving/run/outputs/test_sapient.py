"""SAPIENT: a fusion node of the standard's own messages takes what we send, and demands what the standard does."""

import io
import json
import re
import socket
import subprocess
import sys
import threading
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sapient_msg import proto_options_pb2 as options
from sapient_msg.bsi_flex_335_v2_0.sapient_message_pb2 import SapientMessage
from support.score_record import RECORD
from support.tiny_bundle import write_bundle
from support.waiting import until

from threat_scorer.run.config.peers import SapientOutput
from threat_scorer.run.config.position import Position
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outputs.delivery import DeliveryError, Device
from threat_scorer.run.outputs.sapient import LARGEST_FRAME_BYTES, SapientSink

ULID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")


def faults(message, where="message"):
    """Yield what the options in the standard's own files demand and `message` lacks."""
    for oneof in message.DESCRIPTOR.oneofs:
        if oneof.GetOptions().Extensions[options.oneof_options].is_mandatory and not message.WhichOneof(oneof.name):
            yield f"{where}.{oneof.name} is missing"
    for field in message.DESCRIPTOR.fields:
        demands = field.GetOptions().Extensions[options.field_options]
        value = getattr(message, field.name)
        present = bool(value) if field.is_repeated else not field.has_presence or message.HasField(field.name)
        if demands.is_mandatory and not present:
            yield f"{where}.{field.name} is missing"
        if not present:
            continue
        for one in value if field.is_repeated else [value]:
            if demands.is_ulid and not ULID.fullmatch(one):
                yield f"{where}.{field.name} = {one!r} is no ULID"
            if demands.is_uuid:
                UUID(one)
            if field.message_type:
                yield from faults(one, f"{where}.{field.name}")


class FusionNode:
    """Takes one edge node at a time; answers registrations and alerts, as configured."""

    def __init__(self, *, accepts=True, acknowledges=True, says=b""):
        self.received: list[SapientMessage] = []
        self.accepts, self.acknowledges, self._says = accepts, acknowledges, says
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def messages(self, content):
        return [message for message in list(self.received) if message.WhichOneof("content") == content]

    def close(self):
        self._stop.set()
        self._thread.join()
        self._server.close()

    def _serve(self):
        while not self._stop.is_set():
            try:
                peer, _ = self._server.accept()
            except TimeoutError:
                continue
            with peer:
                peer.settimeout(0.1)
                try:
                    self._attend(peer)
                except OSError:
                    continue

    def _attend(self, peer):
        data = b""
        while not self._stop.is_set():
            try:
                if not (chunk := peer.recv(2**16)):
                    return
            except TimeoutError:
                continue
            data += chunk
            while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[:4], "little"):
                end = 4 + int.from_bytes(data[:4], "little")
                message = SapientMessage.FromString(data[4:end])
                data = data[end:]
                self.received.append(message)
                self._answer(peer, message)

    def _answer(self, peer, message):
        answer = SapientMessage(node_id="550e8400-e29b-41d4-a716-446655440000")
        kind = message.WhichOneof("content")
        if kind == "registration":
            answer.registration_ack.acceptance = self.accepts
            answer.registration_ack.ack_response_reason.append("no room")
            peer.sendall(framed(answer) + self._says)
        elif kind == "alert" and self.acknowledges:
            answer.alert_ack.alert_id = message.alert.alert_id
            answer.alert_ack.alert_ack_status = 1
            peer.sendall(framed(answer))


def framed(message):
    body = message.SerializeToString()
    return len(body).to_bytes(4, "little") + body


@pytest.fixture
def node():
    started = []

    def start(**how):
        started.append(FusionNode(**how))
        return started[-1]

    yield start
    for one in started:
        one.close()


LOG = io.StringIO()
MAST = Device(
    name="mast-3",
    bundle="simulated-1",
    position=Position(latitude_deg=1.0, longitude_deg=2.0),
    latest_seq=lambda: 0,
    level=lambda: "warning",
    log=Log("info", 99, to=LOG),
)


def sink_to(port, **more):
    return SapientSink(SapientOutput(port=port, ack_within_s=1.0, **more), MAST)


def rows(*records):
    return [Row(seq, f"k{seq}", json.dumps(record).encode()) for seq, record in enumerate(records, start=1)]


QUIET = {**RECORD, "decision": {**RECORD["decision"], "alarm": False}}
NOWHERE = {key: value for key, value in RECORD.items() if key != "position"} | {"model_version": "9c1f"}
RECORD = {**RECORD, "model_version": "9c1f"}
QUIET = {**QUIET, "model_version": "9c1f"}


def test_it_registers_reports_and_alerts_with_all_that_the_standard_demands(node):
    fusion = node()
    sink = sink_to(fusion.port)
    assert sink.deliver(rows(RECORD, QUIET, NOWHERE, {"type": "refusal"}), "s") == 4
    sink.leave()
    sink.close()
    until(lambda: len(fusion.messages("status_report")) == 2)
    assert [fault for message in fusion.received for fault in faults(message)] == []
    kinds = [message.WhichOneof("content") for message in fusion.received]
    assert kinds == [
        "registration",
        "status_report",
        "detection_report",
        "alert",
        "detection_report",
        "alert",
        "status_report",
    ]
    assert len({message.node_id for message in fusion.received}) == 1
    detection, quiet = (message.detection_report for message in fusion.messages("detection_report"))
    assert (detection.location.x, detection.location.y, detection.location.x_error) == (-74.25, 4.5, 3.0)
    assert detection.detection_confidence == pytest.approx(0.63)
    info = {entry.type: entry.value for entry in detection.object_info}
    declared = fusion.received[0].registration.mode_definition[0].detection_definition[0].detection_report
    assert set(info) == {entry.type for entry in declared}
    assert (info["likelihood"], info["simulated"], info["key"]) == ("likely", "true", "k1")
    assert info["marking"].startswith("TLP:CLEAR")
    here, nowhere = (message.alert for message in fusion.messages("alert"))
    assert here.associated_detection[0].object_id == detection.object_id != quiet.object_id
    assert here.description == "likely an explosive hazard; voltage 0.4 raises it (+1.0)"
    assert not nowhere.HasField("location")
    assert all("SIMULATED" in message.additional_information for message in fusion.messages("alert"))
    first, last = (message.status_report for message in fusion.messages("status_report"))
    assert (first.system, last.system) == (2, 5)
    assert first.node_location.y == 1.0


def test_what_is_sent_again_is_the_same_object(node):
    fusion = node(acknowledges=False)
    sink = sink_to(fusion.port)
    for _ in range(2):
        with pytest.raises(DeliveryError, match="acknowledges no alert"):
            sink.deliver(rows(RECORD), "s")
        sink.close()
    fusion.acknowledges = True
    assert sink.deliver(rows(RECORD), "s") == 1
    sink.close()
    assert len(fusion.messages("alert")) == 3
    assert len({message.alert.alert_id for message in fusion.messages("alert")}) == 1
    assert len({message.detection_report.object_id for message in fusion.messages("detection_report")}) == 1


def test_only_alarms_where_that_is_requested(node):
    fusion = node()
    sink = sink_to(fusion.port, only="alarms")
    assert sink.deliver(rows(QUIET, RECORD), "s") == 2
    sink.close()
    assert len(fusion.messages("detection_report")) == 1


def test_a_fusion_node_that_refuses_us_is_reported_with_its_reason(node):
    fusion = node(accepts=False)
    sink = sink_to(fusion.port)
    with pytest.raises(DeliveryError, match="does not register us: no room"):
        sink.idle()
    sink.close()


def test_a_task_is_answered_and_an_error_is_logged(node):
    task, error = SapientMessage(), SapientMessage()
    task.task.task_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    error.error.error_message.append("what is this?")
    fusion = node(says=framed(task) + framed(error))
    sink = sink_to(fusion.port)
    until(lambda: sink.idle() or fusion.messages("task_ack"))
    (answer,) = fusion.messages("task_ack")
    assert (answer.task_ack.task_id, answer.task_ack.task_status) == (task.task.task_id, 2)
    assert list(faults(answer)) == []
    assert "what is this?" in LOG.getvalue()
    sink.close()


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ((LARGEST_FRAME_BYTES + 1).to_bytes(4, "little"), "a frame of 1048577 bytes"),
        (b"\xff\xff\xff\xff" + b"x" * 100, "a frame of 4294967295 bytes"),
        (b"\x03\0\0\0\xff\xff\xff", "no SAPIENT message"),
    ],
)
def test_a_hostile_fusion_node_is_hung_up_on(node, says, error):
    fusion = node(says=says)
    sink = sink_to(fusion.port)

    def listens():
        for _ in range(100):
            sink.idle()
            threading.Event().wait(0.02)

    with pytest.raises(DeliveryError, match=error):
        listens()
    sink.close()


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=50), probability=st.floats(0, 1))
def test_any_text_can_be_sent(text, probability):
    from threat_scorer.run.outputs.sapient_messages import envelope, raise_alert, report_detection

    record = {**RECORD, "id": text, "reasons": [text], "probability": probability}
    record = json.loads(json.dumps(record))
    record["id"] += "\ud800"
    for say in (report_detection, raise_alert):
        message = envelope("550e8400-e29b-41d4-a716-446655440000", 1.8e9)
        say(message, record, "key")
        assert list(faults(SapientMessage.FromString(message.SerializeToString()))) == []


def test_the_running_scorer_registers_before_there_is_anything_to_say(node, short_folder, tmp_path_factory):
    fusion = node()
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    (short_folder / "scorer.toml").write_text(
        f'device = "mast-3"\nbundle = "{bundle}"\nstate = "state"\n'
        '[[input]]\nkind = "file"\nmodel = "sensor_threat"\npath = "in.jsonl"\n'
        f'[[output]]\nkind = "sapient"\nport = {fusion.port}\nstatus_every_s = 1\n'
    )
    command = [sys.executable, "-m", "threat_scorer.cli", "run", "--config", str(short_folder / "scorer.toml")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(fusion.messages("status_report")) >= 2)
    line = {"id": 1, "voltage": 0.4, "height": 0.3, "latitude_deg": 4.5, "longitude_deg": -74.25}
    (short_folder / "in.jsonl").write_text(json.dumps(line) + "\n")
    until(lambda: fusion.messages("detection_report"))
    process.terminate()
    assert process.wait(30) == 0
    until(lambda: fusion.messages("status_report")[-1].status_report.system == 5)
    assert [fault for message in fusion.received for fault in faults(message)] == []
