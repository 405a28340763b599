"""Messages of a broker -> items on the queue; each is acknowledged when what came of it is on the disk."""

import queue as queues
import threading
from dataclasses import dataclass
from functools import partial

from threat_scorer.run.clock import boottime
from threat_scorer.run.config.identities import client_id
from threat_scorer.run.config.peers import MqttInput
from threat_scorer.run.connections.mqtt import Connection, SubscribeOptions, paho
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outputs.mqtt import Availability
from threat_scorer.run.queue import IntakeQueue, Item, Outcome
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong

MOST_UNASKED = 1000
"""Messages with QoS 0 that may wait here: the broker cannot be asked to wait with those."""
SETTLE_S = 5.0
"""How long what was taken in may still be acknowledged when the process ends; the broker sends the rest again."""


@dataclass(frozen=True)
class _Received:
    message: paho.MQTTMessage
    at: float
    epoch: int


class MqttReader:
    """Reads one input.

    Parameters
    ----------
    device
        Name of the device, for the session's name.
    """

    def __init__(self, entry: MqttInput, queue: IntakeQueue, log: Log, *, device: str) -> None:
        self._entry, self._queue, self._log = entry, queue, log
        self._inbox: queues.SimpleQueue[_Received] = queues.SimpleQueue()
        self._out = 0
        self._lock = threading.Lock()
        self._availability = Availability(entry.availability)
        self.connection = Connection(
            entry,
            where=f"input {entry.name}",
            client_id=client_id(entry, device),
            log=log,
            greet=self._greet,
            hear=self._hear,
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
            reply = partial(self._kept, received)
            with self._lock:
                self._out += 1
            if not self._queue.put(Item(self._entry.name, number, line, received.at, reply=reply, waits=True)):
                self._done()
                break
        until = boottime() + SETTLE_S
        while self._out and boottime() < until:
            threading.Event().wait(0.02)
        self.connection.close(farewell=self._availability.will())

    def _greet(self, client: paho.Client) -> None:
        # what is retained is of the past: it comes once, not at every connect
        options = SubscribeOptions(qos=1, noLocal=True, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        client.subscribe(self._entry.topic, options=options)
        self._availability.greet(client)

    def _hear(self, message: paho.MQTTMessage) -> None:
        waiting = self._inbox.qsize()
        if message.qos and waiting > 2 * MOST_UNASKED:
            raise ConnectionError(f"{waiting} messages were sent ahead of their acknowledgement")
        if not message.qos and waiting >= MOST_UNASKED:
            self._queue.refused += 1
            self._log.warning("overload: a message with QoS 0 is lost", input=self._entry.name)
            return
        self._inbox.put(_Received(message, boottime(), self.connection.epoch))

    def _kept(self, received: _Received, outcome: Outcome) -> None:
        if outcome.entry is not None:
            self.connection.acknowledge(received.message, received.epoch)
        self._done()

    def _done(self) -> None:
        with self._lock:
            self._out -= 1
