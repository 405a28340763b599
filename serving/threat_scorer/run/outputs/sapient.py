"""Records of the outbox -> detections and alerts at a SAPIENT fusion node (BSI Flex 335 v2.0), over TCP.

A frame is four bytes of length, little-endian, and a message. An alert is delivered when the fusion node acknowledges
it. A detection is delivered when the socket has taken it: the standard has no acknowledgement for it.
"""

import json
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict

from threat_scorer.errors import ConfigError
from threat_scorer.run.clock import boottime
from threat_scorer.run.config.identities import sapient_node_id
from threat_scorer.run.config.peers import SapientOutput
from threat_scorer.run.connections.tcp import client_tls, connect_tcp
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outputs.delivery import DeliveryError, Device, Sink

try:
    from google.protobuf.message import DecodeError
    from sapient_msg.bsi_flex_335_v2_0.sapient_message_pb2 import SapientMessage

    from threat_scorer.run.outputs import sapient_messages as messages
except ImportError:
    raise ConfigError(
        "sapient: protobuf or sapient-proto is not installed; expected `pip install threat-scorer[sapient]`"
    ) from None

LARGEST_FRAME_BYTES = 2**20
LENGTH_BYTES = 4
IDLE_S = 0.001


class SapientSink(Sink):
    """An edge node."""

    def __init__(self, entry: SapientOutput, device: Device) -> None:
        self._entry, self._device, self._log = entry, device, device.log
        self._position = None if device.position is None else asdict(device.position)
        self._node_id = sapient_node_id(entry, device.name)
        self._tls = client_tls(entry.tls, f"output {entry.name}")
        self._socket: socket.socket | None = None
        self._rest = b""
        self._status_due = 0.0

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Send the detection of each record and the alert of each alarm; wait until the alerts are acknowledged."""
        self.idle()
        waiting: set[str] = set()
        for row in rows:
            waiting |= self._report(json.loads(row.body), row.key)
        until = boottime() + self._entry.ack_within_s
        while waiting:
            message = self._receive(max(until - boottime(), IDLE_S))
            if message is None:
                raise DeliveryError("the fusion node acknowledges no alert")
            if message.WhichOneof("content") == "alert_ack":
                waiting.discard(message.alert_ack.alert_id)
        return rows[-1].seq

    def idle(self) -> None:
        """Connect and register where that is not done; read the fusion node's messages, and send the status when due.

        Raises
        ------
        OSError, DeliveryError
            The fusion node is not there, or does not register us.
        """
        if self._socket is None:
            self._register()
        while self._receive(IDLE_S):
            pass
        if boottime() >= self._status_due:
            self._send_status(self._device.level())

    def leave(self) -> None:
        """Send the status ``goodbye``."""
        if self._socket:
            try:
                self._send_status("goodbye")
            except OSError as error:
                self._log.info("no goodbye", output=self._entry.name, error=str(error))

    def close(self) -> None:
        """Hang up."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _register(self) -> None:
        self._rest, self._status_due = b"", 0.0
        within_s = self._entry.ack_within_s
        self._socket = connect_tcp(self._entry.host, self._entry.port, self._tls, within_s=within_s)
        message = messages.envelope(self._node_id, time.time())
        messages.register(
            message,
            device=self._device.name,
            bundle=self._device.bundle,
            status_every_s=self._entry.status_every_s,
        )
        self._send(message)
        until = boottime() + within_s
        while (reply := self._receive(max(until - boottime(), IDLE_S))) is not None:
            if reply.WhichOneof("content") == "registration_ack":
                if reply.registration_ack.acceptance:
                    return
                reasons = "; ".join(reply.registration_ack.ack_response_reason)
                raise DeliveryError(f"the fusion node does not register us: {reasons[:200] or 'no reason given'}")
        raise DeliveryError("the fusion node does not answer our registration")

    def _report(self, record: dict[str, object], key: str) -> set[str]:
        """Send a record; return the ids of the alerts that await their acknowledgement."""
        decision = record.get("decision")
        alarm = not isinstance(decision, dict) or decision["alarm"]
        if record["type"] != "score" or (self._entry.only == "alarms" and not alarm):
            return set()
        additional = messages.marking(record)
        if record.get("simulated"):
            additional = f"SIMULATED: learnt from an invented theatre; {additional}"
        if "position" in record:
            message = messages.envelope(self._node_id, time.time(), additional=additional)
            messages.report_detection(message, record, key)
            self._send(message)
        if not alarm:
            return set()
        message = messages.envelope(self._node_id, time.time(), additional=additional)
        alert_id = messages.raise_alert(message, record, key)
        self._send(message)
        return {alert_id}

    def _send_status(self, system: str) -> None:
        at = time.time()
        message = messages.envelope(self._node_id, at)
        messages.report_status(message, system=system, at=at, position=self._position)
        self._send(message)
        self._status_due = boottime() + self._entry.status_every_s

    def _send(self, message: SapientMessage) -> None:
        body = message.SerializeToString()
        if self._socket is None:
            raise DeliveryError("not connected")
        self._socket.settimeout(self._entry.ack_within_s)
        self._socket.sendall(len(body).to_bytes(LENGTH_BYTES, "little") + body)

    def _receive(self, within_s: float) -> SapientMessage | None:
        """Return the next message, None where none came in time; answer a task, and log an error."""
        if (body := self._frame(within_s)) is None:
            return None
        try:
            message: SapientMessage = SapientMessage.FromString(body)
        except DecodeError as error:
            raise DeliveryError(f"the fusion node sends what is no SAPIENT message: {error}") from None
        content = message.WhichOneof("content")
        if content == "task":
            reply = messages.envelope(self._node_id, time.time())
            messages.refuse_task(reply, message.task.task_id)
            self._send(reply)
        elif content == "error":
            errors = "; ".join(message.error.error_message)
            self._log.warning("the fusion node found an error", output=self._entry.name, error=errors[:200])
        elif content == "alert_ack" and message.alert_ack.reason:
            self._log.info("an alert was answered", output=self._entry.name, reason=message.alert_ack.reason[0][:200])
        return message

    def _frame(self, within_s: float) -> bytes | None:
        until = boottime() + within_s
        while (body := self._whole_frame()) is None:
            if self._socket is None:
                raise DeliveryError("not connected")
            self._socket.settimeout(max(until - boottime(), IDLE_S))
            try:
                chunk = self._socket.recv(2**16)
            except TimeoutError:
                return None
            if not chunk:
                raise DeliveryError("the fusion node hung up")
            self._rest += chunk
        return body

    def _whole_frame(self) -> bytes | None:
        if len(self._rest) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._rest[:LENGTH_BYTES], "little")
        if length > LARGEST_FRAME_BYTES:
            raise DeliveryError(f"the fusion node sends a frame of {length} bytes; expected {LARGEST_FRAME_BYTES}")
        end = LENGTH_BYTES + length
        if len(self._rest) < end:
            return None
        body, self._rest = self._rest[LENGTH_BYTES:end], self._rest[end:]
        return body
