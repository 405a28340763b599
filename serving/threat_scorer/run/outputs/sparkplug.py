"""Records of the outbox -> the NDATA of a Sparkplug B edge node (specification 3.0), with its birth and death.

NDATA has QoS 0, so the broker does not acknowledge it. But the broker takes packets in their order, and acknowledges
subscriptions. So the sink subscribes to its commands again after each batch: the acknowledgement is that of the batch.
"""

import json
import threading
from collections.abc import Sequence
from typing import Any

from threat_scorer.parsing import strict_json
from threat_scorer.run.clock import boottime, now_ms
from threat_scorer.run.config.peers import SparkplugOutput
from threat_scorer.run.connections.mqtt import SubscribeOptions, Will, paho
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outbox.outbox import to_line
from threat_scorer.run.outputs.broker import ACKNOWLEDGED_WITHIN_S, CONNECTED_WITHIN_S, BrokerSink, wait_connected
from threat_scorer.run.outputs.delivery import DeliveryError, Device
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

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
METRICS = {"probability": DOUBLE, "likelihood": STRING, "alarm": BOOLEAN, "simulated": BOOLEAN, "record": STRING}
"""The metrics of NDATA: the whole record as JSON, and the parts that a host shows. A rejection has only `record`."""


class SparkplugSink(BrokerSink):
    """Publishes records as an edge node; a record that is in the outbox at birth is historical."""

    def __init__(self, entry: SparkplugOutput, device: Device) -> None:
        self._entry, self._log, self._latest_seq = entry, device.log, device.latest_seq
        self._lock = threading.RLock()  # no birth between a sequence number and its message
        self._bd_seq = -1
        self._seq = 0
        self._born = threading.Event()
        self._birth_seq = 0
        self._host_state_ms = -1
        super().__init__(entry, device, on_connect=self._on_connect, will=self._next_death, on_message=self._on_message)

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Publish rows and wait until the broker has read past them."""
        wait_connected(self.connection)
        if not self._born.wait(CONNECTED_WITHIN_S):
            raise DeliveryError(f"primary host {self._entry.primary_host} is not online")
        epoch = self.connection.epoch
        for row in rows:
            with self._lock:
                self._publish("NDATA", _metrics(row, stream, historical=row.seq <= self._birth_seq))
        mid = self._subscribe(self.connection.client)
        until = boottime() + ACKNOWLEDGED_WITHIN_S
        while self._acknowledgements.next(until)[0] != mid:
            pass
        if epoch != self.connection.epoch:
            raise DeliveryError("the connection was lost on the way")
        return rows[-1].seq

    def leave(self) -> None:
        """Publish the death and disconnect for good."""
        self.connection.close(last_message=self._death() if self._born.is_set() else None)

    def _topic(self, kind: str) -> str:
        return f"{NAMESPACE}/{self._entry.group}/{kind}/{self._entry.node}"

    def _next_death(self) -> Will:
        self._bd_seq = (self._bd_seq + 1) % 256
        self._born.clear()
        return self._death()

    def _death(self) -> Will:
        death = encode([Metric("bdSeq", INT64, self._bd_seq)], at_ms=now_ms(), seq=None)
        return Will(self._topic("NDEATH"), death, retain=False)

    def _on_connect(self, client: paho.Client) -> None:
        self._host_state_ms = -1
        self._subscribe(client)
        if self._entry.primary_host:
            client.subscribe(self._host_topic(), qos=1)  # the birth follows when it is online
        else:
            self._publish_birth()

    def _subscribe(self, client: paho.Client) -> int | None:
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        return client.subscribe(self._topic("NCMD"), options=options)[1]

    def _publish_birth(self) -> None:
        with self._lock:
            self._seq = 0
            self._birth_seq = self._latest_seq()
            controls = [Metric("bdSeq", INT64, self._bd_seq), Metric(REBIRTH, BOOLEAN, False)]
            self._publish("NBIRTH", [*controls, *(Metric(name, kind) for name, kind in METRICS.items())])
            self._born.set()

    def _publish(self, kind: str, metrics: Sequence[Metric]) -> None:
        payload = encode(metrics, at_ms=now_ms(), seq=self._seq)
        self._seq = (self._seq + 1) % 256
        self.connection.client.publish(self._topic(kind), payload, qos=0)

    def _on_message(self, message: paho.MQTTMessage) -> None:
        if message.topic == self._topic("NCMD"):
            self._on_command(bytes(message.payload))
        elif message.topic == self._host_topic():
            self._on_host_state(bytes(message.payload))
        if message.qos:
            self.connection.acknowledge(message, self.connection.epoch)

    def _on_command(self, payload: bytes) -> None:
        try:
            metrics = decode(payload)
        except PayloadError as error:
            self._log.warning("cannot read a command", output=self._entry.name, error=str(error))
            return
        if any(metric.name == REBIRTH and metric.value is True for metric in metrics) and self._born.is_set():
            self._publish_birth()

    def _host_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self._entry.primary_host}"

    def _on_host_state(self, payload: bytes) -> None:
        """Publish a birth when the primary host comes online, and a death when it goes; skip an older state."""
        try:
            state: dict[str, Any] = strict_json.parse(payload)
            online, at_ms = state["online"], state["timestamp"]
        except (ValueError, KeyError, TypeError):
            online = at_ms = None
        if type(online) is not bool or type(at_ms) is not int:
            self._log.warning("cannot read the state of the primary host", output=self._entry.name)
            return
        if at_ms < self._host_state_ms:
            return
        self._host_state_ms = at_ms
        if online and not self._born.is_set():
            self._publish_birth()
        elif not online and self._born.is_set():
            self._born.clear()
            self.connection.drop()  # the broker publishes our death


def _metrics(row: Row, stream: str, *, historical: bool) -> list[Metric]:
    line = to_line(row, stream).removesuffix(b"\n").decode()
    record = json.loads(row.body)
    values = {
        "probability": record.get("probability"),
        "likelihood": record.get("likelihood"),
        "alarm": record.get("decision", {}).get("alarm"),
        "simulated": record.get("simulated", False),
        "record": line,
    }
    return [
        Metric(name, METRICS[name], value, historical=historical) for name, value in values.items() if value is not None
    ]
