"""Records of the outbox -> messages on a topic; a record is delivered when the broker has acknowledged it."""

from collections.abc import Sequence

from threat_scorer.run.clock import boottime
from threat_scorer.run.config.peers import MqttOutput
from threat_scorer.run.connections.mqtt import Availability
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outbox.outbox import to_line
from threat_scorer.run.outputs.broker import ACKNOWLEDGED_WITHIN_S, BrokerSink, wait_connected
from threat_scorer.run.outputs.delivery import DeliveryError, Device


class MqttSink(BrokerSink):
    """Publishes records."""

    def __init__(self, entry: MqttOutput, device: Device) -> None:
        self._entry = entry
        self._in_flight: dict[int, int] = {}  # id of a message without its acknowledgement -> its sequence number
        self._availability = Availability(entry.availability)
        super().__init__(entry, device, on_connect=self._availability.publish, will=self._availability.will)

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Publish rows and wait until the broker has them all."""
        wait_connected(self.connection)
        in_flight = set(self._in_flight.values())  # after a reconnect paho itself sends those again
        for row in rows:
            if row.seq not in in_flight:
                payload = to_line(row, stream).removesuffix(b"\n")
                self._in_flight[self.connection.client.publish(self._entry.topic, payload, qos=1).mid] = row.seq
        until = boottime() + ACKNOWLEDGED_WITHIN_S
        while self._in_flight:
            mid, reason = self._acknowledgements.next(until)
            if self._in_flight.pop(mid, None) is not None and reason.is_failure:
                raise DeliveryError(f"the broker refuses a record: {reason}")
        return rows[-1].seq

    def leave(self) -> None:
        """Disconnect for good."""
        self.connection.close(last_message=self._availability.will())
