"""Messages of a broker -> items on the queue; a message is acknowledged when its score is on the disk."""

import queue as queues
import threading
from dataclasses import dataclass
from functools import partial

from threat_scorer.run.clock import boottime
from threat_scorer.run.config.identities import client_id
from threat_scorer.run.config.peers import MqttInput
from threat_scorer.run.connections.mqtt import Availability, Connection, SubscribeOptions, paho
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.queue import IntakeQueue, Item, Outcome
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong

MOST_UNACKNOWLEDGED = 1000
"""Messages with QoS 0 that may wait here: no acknowledgement makes the broker wait with those."""
SETTLE_S = 5.0
"""How long messages may still be acknowledged when the process ends; the broker sends the rest again."""


@dataclass(frozen=True)
class _Received:
    message: paho.MQTTMessage
    at: float
    epoch: int


class MqttReader:
    """Reads one input.

    Parameters
    ----------
    entry
        Configuration of the input.
    queue
        Where the messages go.
    log
        Takes lost connections and lost messages.
    device
        Name of the device, for the session's name.
    """

    def __init__(self, entry: MqttInput, queue: IntakeQueue, log: Log, *, device: str) -> None:
        self._entry, self._queue, self._log = entry, queue, log
        self._inbox: queues.SimpleQueue[_Received] = queues.SimpleQueue()
        self._unanswered = 0
        self._lock = threading.Lock()
        self._availability = Availability(entry.availability)
        self.connection = Connection(
            entry,
            where=f"input {entry.name}",
            client_id=client_id(entry, device),
            log=log,
            on_connect=self._on_connect,
            on_message=self._on_message,
            will=self._availability.will,
            session_s=entry.session_s,
            window=entry.window,
        )

    def read(self, stop: threading.Event) -> None:
        """Put messages on the queue until `stop`."""
        self.connection.start()
        number = 0
        while not stop.is_set():
            try:
                received = self._inbox.get(timeout=0.2)
            except queues.Empty:
                continue
            number += 1
            payload = bytes(received.message.payload)
            line = payload if len(payload) <= LONGEST_LINE_BYTES else TooLong()
            reply = partial(self._on_outcome, received)
            with self._lock:
                self._unanswered += 1
            if not self._queue.put(Item(self._entry.name, number, line, received.at, reply=reply, waits=True)):
                self._count_answered()
                break
        until = boottime() + SETTLE_S
        while self._unanswered and boottime() < until:
            threading.Event().wait(0.02)
        self.connection.close(last_message=self._availability.will())

    def _on_connect(self, client: paho.Client) -> None:
        # a retained message is of the past: it comes once, not at every connect
        options = SubscribeOptions(qos=1, noLocal=True, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        client.subscribe(self._entry.topic, options=options)
        self._availability.publish(client)

    def _on_message(self, message: paho.MQTTMessage) -> None:
        waiting = self._inbox.qsize()
        if message.qos and waiting > 2 * MOST_UNACKNOWLEDGED:
            raise ConnectionError(f"{waiting} messages were sent ahead of their acknowledgement")
        if not message.qos and waiting >= MOST_UNACKNOWLEDGED:
            self._queue.refused += 1
            self._log.warning("overload: a message with QoS 0 is lost", input=self._entry.name)
            return
        self._inbox.put(_Received(message, boottime(), self.connection.epoch))

    def _on_outcome(self, received: _Received, outcome: Outcome) -> None:
        if outcome.entry is not None:
            self.connection.acknowledge(received.message, received.epoch)
        self._count_answered()

    def _count_answered(self) -> None:
        with self._lock:
            self._unanswered -= 1
