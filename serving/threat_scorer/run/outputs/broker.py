"""The parts that all sinks at an MQTT broker share: the connection, and what the broker acknowledged."""

import queue as queues
from collections.abc import Callable
from typing import Any

from threat_scorer.run.clock import boottime
from threat_scorer.run.config.identities import client_id
from threat_scorer.run.config.peers import MqttOutput, SparkplugOutput
from threat_scorer.run.connections.mqtt import Connection, Will, paho
from threat_scorer.run.outputs.delivery import DeliveryError, Device, Sink

CONNECTED_WITHIN_S = 5.0
ACKNOWLEDGED_WITHIN_S = 10.0


class Acknowledgements:
    """The broker's acknowledgements of messages and subscriptions, by their id."""

    def __init__(self) -> None:
        self._arrived: queues.SimpleQueue[tuple[int, Any]] = queues.SimpleQueue()

    def add(self, mid: int, reason: Any) -> None:
        """Add one; called on the connection's thread, which has paho's locks: it must not wait."""
        self._arrived.put((mid, reason))

    def next(self, until: float) -> tuple[int, Any]:
        """Return the id and the reason of the next one.

        Raises
        ------
        DeliveryError
            None came until the steady clock showed `until`.
        """
        try:
            return self._arrived.get(timeout=max(until - boottime(), 0.0))
        except queues.Empty:
            raise DeliveryError("the broker does not acknowledge") from None


def wait_connected(connection: Connection) -> None:
    """Wait up to `CONNECTED_WITHIN_S` for the connection.

    Raises
    ------
    DeliveryError
        It is not up.
    """
    if not connection.up.wait(CONNECTED_WITHIN_S):
        raise DeliveryError(connection.trouble or "not connected")


class BrokerSink(Sink):
    """The parts of every sink at a broker: the connection, and the acknowledgements of what was published.

    Parameters
    ----------
    entry
        Configuration of the output.
    device
        Names the session, and has the log.
    on_connect, will, on_message
        As for `Connection`.
    """

    def __init__(
        self,
        entry: MqttOutput | SparkplugOutput,
        device: Device,
        *,
        on_connect: Callable[[paho.Client], None],
        will: Callable[[], Will | None],
        on_message: Callable[[paho.MQTTMessage], None] = lambda message: None,
    ) -> None:
        self._acknowledgements = Acknowledgements()
        self.connection = Connection(
            entry,
            where=f"output {entry.name}",
            client_id=client_id(entry, device.name),
            log=device.log,
            on_connect=on_connect,
            on_message=on_message,
            will=will,
        )
        self.connection.on_acknowledged = self._acknowledgements.add

    @property
    def trouble(self) -> str | None:
        """What is wrong with the connection."""
        return self.connection.trouble

    def open(self) -> None:
        """Connect."""
        self.connection.start()
