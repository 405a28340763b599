"""The outbox -> a Sparkplug B edge node (specification 3.0): birth, death by last will, and each record as NDATA.

NDATA has QoS 0, so the broker acknowledges none. What it does acknowledge is a subscription, and it takes packets in
their order: after each batch we subscribe to our commands once more, and when that is answered the batch is delivered.
"""

import json
import threading
from collections.abc import Sequence
from typing import Any

from threat_scorer.parsing import strict_json
from threat_scorer.run.clock import boottime, now_ms
from threat_scorer.run.config.peers import SparkplugOutput
from threat_scorer.run.connections.mqtt import SubscribeOptions, Will, paho
from threat_scorer.run.outbox.outbox import Row, to_line
from threat_scorer.run.outputs.delivery import DeliveryError, Device
from threat_scorer.run.outputs.mqtt import ANSWERED_WITHIN_S, CONNECTED_WITHIN_S, BrokerSink, connected
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
"""What NDATA holds: the whole record as JSON, and of it what a host shows. A refusal has only `record`."""


class SparkplugSink(BrokerSink):
    """Publishes records as an edge node; what is in the outbox when it is born is historical."""

    def __init__(self, entry: SparkplugOutput, device: Device) -> None:
        self._entry, self._log, self._latest_seq = entry, device.log, device.latest_seq
        self._lock = threading.RLock()  # a birth must not come between a number and its message
        self._bd_seq = -1
        self._seq = 0
        self._born = threading.Event()
        self._born_after = 0
        self._host_at_ms = -1
        super().__init__(entry, device, greet=self._greet, will=self._next_death, hear=self._hear)

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Publish rows and wait until the broker has read past them."""
        connected(self.connection)
        if not self._born.wait(CONNECTED_WITHIN_S):
            raise DeliveryError(f"primary host {self._entry.primary_host} is not online")
        epoch = self.connection.epoch
        for row in rows:
            with self._lock:
                self._publish("NDATA", _metrics(row, stream, historical=row.seq <= self._born_after))
        mid = self._subscribe(self.connection.client)
        until = boottime() + ANSWERED_WITHIN_S
        while self._answers.next(until)[0] != mid:
            pass
        if epoch != self.connection.epoch:
            raise DeliveryError("the connection was lost on the way")
        return rows[-1].seq

    def leave(self) -> None:
        """Die and disconnect for good."""
        self.connection.close(farewell=self._death() if self._born.is_set() else None)

    def _topic(self, kind: str) -> str:
        return f"{NAMESPACE}/{self._entry.group}/{kind}/{self._entry.node}"

    def _next_death(self) -> Will:
        self._bd_seq = (self._bd_seq + 1) % 256
        self._born.clear()
        return self._death()

    def _death(self) -> Will:
        death = encode([Metric("bdSeq", INT64, self._bd_seq)], at_ms=now_ms(), seq=None)
        return Will(self._topic("NDEATH"), death, retain=False)

    def _greet(self, client: paho.Client) -> None:
        self._host_at_ms = -1
        self._subscribe(client)
        if self._entry.primary_host:
            client.subscribe(self._host_topic(), qos=1)  # born when it says that it is there
        else:
            self._be_born()

    def _subscribe(self, client: paho.Client) -> int | None:
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        return client.subscribe(self._topic("NCMD"), options=options)[1]

    def _be_born(self) -> None:
        with self._lock:
            self._seq = 0
            self._born_after = self._latest_seq()
            controls = [Metric("bdSeq", INT64, self._bd_seq), Metric(REBIRTH, BOOLEAN, False)]
            self._publish("NBIRTH", [*controls, *(Metric(name, kind) for name, kind in METRICS.items())])
            self._born.set()

    def _publish(self, kind: str, metrics: Sequence[Metric]) -> None:
        payload = encode(metrics, at_ms=now_ms(), seq=self._seq)
        self._seq = (self._seq + 1) % 256
        self.connection.client.publish(self._topic(kind), payload, qos=0)

    def _hear(self, message: paho.MQTTMessage) -> None:
        if message.topic == self._topic("NCMD"):
            self._obey(bytes(message.payload))
        elif message.topic == self._host_topic():
            self._heed_host(bytes(message.payload))
        if message.qos:
            self.connection.acknowledge(message, self.connection.epoch)

    def _obey(self, payload: bytes) -> None:
        try:
            metrics = decode(payload)
        except PayloadError as error:
            self._log.warning("command is not understood", output=self._entry.name, error=str(error))
            return
        if any(metric.name == REBIRTH and metric.value is True for metric in metrics) and self._born.is_set():
            self._be_born()

    def _host_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self._entry.primary_host}"

    def _heed_host(self, payload: bytes) -> None:
        """Be born when the primary host comes, die when it goes; what it said before its last word does not count."""
        try:
            state: dict[str, Any] = strict_json.parse(payload)
            online, at_ms = state["online"], state["timestamp"]
        except (ValueError, KeyError, TypeError):
            online = at_ms = None
        if type(online) is not bool or type(at_ms) is not int:
            self._log.warning("state of the primary host is not understood", output=self._entry.name)
            return
        if at_ms < self._host_at_ms:
            return
        self._host_at_ms = at_ms
        if online and not self._born.is_set():
            self._be_born()
        elif not online and self._born.is_set():
            self._born.clear()
            self.connection.drop()  # the broker says our death


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
