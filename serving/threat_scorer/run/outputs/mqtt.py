"""The outbox -> a topic: each record one message, delivered when the broker has acknowledged it."""

import queue as queues
from collections.abc import Callable, Sequence
from typing import Any

from threat_scorer.run.clock import boottime
from threat_scorer.run.config.identities import client_id
from threat_scorer.run.config.peers import MqttOutput, SparkplugOutput
from threat_scorer.run.connections.mqtt import Connection, Will, paho
from threat_scorer.run.outbox.outbox import Row, to_line
from threat_scorer.run.outputs.delivery import DeliveryError, Device, Sink

CONNECTED_WITHIN_S = 5.0
ANSWERED_WITHIN_S = 10.0


class Availability:
    """A topic that says whether we are here.

    Parameters
    ----------
    topic
        Where it says so; empty to say nothing.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def will(self) -> Will | None:
        """Return what is said when we are gone."""
        return Will(self._topic, b"offline", retain=True) if self._topic else None

    def greet(self, client: paho.Client) -> None:
        """Say that we are here."""
        if self._topic:
            client.publish(self._topic, b"online", qos=1, retain=True)


class Answers:
    """What the broker answers to messages and subscriptions, by their id."""

    def __init__(self) -> None:
        self._came: queues.SimpleQueue[tuple[int, Any]] = queues.SimpleQueue()

    def take(self, mid: int, reason: Any) -> None:
        """Note an answer; called on the connection's thread, which holds paho's locks: it must not wait."""
        self._came.put((mid, reason))

    def next(self, until: float) -> tuple[int, Any]:
        """Return the next answer.

        Raises
        ------
        DeliveryError
            None came until the steady clock showed `until`.
        """
        try:
            return self._came.get(timeout=max(until - boottime(), 0.0))
        except queues.Empty:
            raise DeliveryError("the broker does not answer") from None


def connected(connection: Connection) -> None:
    """Wait a little for the broker.

    Raises
    ------
    DeliveryError
        It is not there.
    """
    if not connection.up.wait(CONNECTED_WITHIN_S):
        raise DeliveryError(connection.trouble or "not connected")


class BrokerSink(Sink):
    """What every sink at a broker has: the connection, and the broker's answers to what was sent."""

    def __init__(
        self,
        entry: MqttOutput | SparkplugOutput,
        device: Device,
        *,
        greet: Callable[[paho.Client], None],
        will: Callable[[], Will | None],
        hear: Callable[[paho.MQTTMessage], None] = lambda message: None,
    ) -> None:
        self._answers = Answers()
        self.connection = Connection(
            entry,
            where=f"output {entry.name}",
            client_id=client_id(entry, device.name),
            log=device.log,
            greet=greet,
            hear=hear,
            will=will,
        )
        self.connection.answers = self._answers.take

    @property
    def trouble(self) -> str | None:
        """What is wrong with the connection."""
        return self.connection.trouble

    def open(self) -> None:
        """Connect."""
        self.connection.start()


class MqttSink(BrokerSink):
    """Publishes records."""

    def __init__(self, entry: MqttOutput, device: Device) -> None:
        self._entry = entry
        self._sent: dict[int, int] = {}  # id of a message that is under way -> its sequence number
        self._availability = Availability(entry.availability)
        super().__init__(entry, device, greet=self._availability.greet, will=self._availability.will)

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Publish rows and wait until the broker has them all."""
        connected(self.connection)
        under_way = set(self._sent.values())  # after a reconnect paho itself sends those again
        for row in rows:
            if row.seq not in under_way:
                payload = to_line(row, stream).removesuffix(b"\n")
                self._sent[self.connection.client.publish(self._entry.topic, payload, qos=1).mid] = row.seq
        until = boottime() + ANSWERED_WITHIN_S
        while self._sent:
            mid, reason = self._answers.next(until)
            if self._sent.pop(mid, None) is not None and reason.is_failure:
                raise DeliveryError(f"the broker refuses a record: {reason}")
        return rows[-1].seq

    def leave(self) -> None:
        """Disconnect for good."""
        self.connection.close(farewell=self._availability.will())
