"""The outbox -> a sink: records in order, again after an outage, until the sink has stored them."""

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from threat_scorer.run.clock import boottime
from threat_scorer.run.config.position import Position
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.entries import OutboxError, Row
from threat_scorer.run.outbox.outbox import Outbox

BATCH = 256
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0


class DeliveryError(Exception):
    """A peer takes no records now; they stay in the outbox."""


@dataclass(frozen=True)
class Device:
    """The facts about the device and its process that a sink may send."""

    name: str
    bundle: str
    """Identity of the bundle that scores."""
    position: Position | None
    """Where it stands; None for a device that moves."""
    latest_seq: Callable[[], int]
    """Return the highest sequence number in the outbox."""
    level: Callable[[], str]
    """Return the worst level of all checks: ``ok``, ``warning`` or ``failure``."""
    log: Log


class Sink(ABC):
    """A receiver of records. The methods that are not abstract do nothing unless a kind of sink needs them."""

    def open(self) -> None:
        """Begin to connect, where the first delivery does not."""
        return

    @abstractmethod
    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Send rows; return the sequence number up to which the receiver has stored them.

        `stream` names the outbox's sequence.

        Raises
        ------
        OSError, DeliveryError
            None of them is known to be stored.
        """

    def idle(self) -> None:
        """Keep the connection in order while there is nothing to deliver.

        Raises
        ------
        OSError, DeliveryError
            The peer is gone.
        """
        return

    def close(self) -> None:
        """Close file or connection; the next delivery opens it again."""
        return

    def leave(self) -> None:
        """Notify the peer that the process ends, where its protocol has a message for it."""
        return

    @property
    def trouble(self) -> str | None:
        """What is wrong, where it is known without a delivery."""
        return None


class Delivery:
    """Carries records from the outbox to one output, for as long as the process runs.

    Parameters
    ----------
    name
        Of the output.
    sink
        Where the records go.
    outbox
        Where the records wait.
    log
        Takes failures.
    """

    def __init__(self, name: str, sink: Sink, outbox: Outbox, log: Log) -> None:
        self.name, self._sink, self._outbox, self._log = name, sink, outbox, log
        self.error: str | None = None
        """Why the last delivery failed; None where it did not."""
        self.since = boottime()
        """Steady time of the first failure in a row, or of the first success after it."""
        self.sent = 0
        self._pause_s = FIRST_PAUSE_S

    @property
    def trouble(self) -> str | None:
        """Why nothing can be delivered now; None where no problem is known."""
        return self.error or self._sink.trouble

    def leave(self) -> None:
        """Notify the peer that the process ends, and close."""
        self._sink.leave()
        self._sink.close()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop`."""
        self._sink.open()
        while not stop.is_set():
            self.step(stop, wait_s=0.5)

    def drain(self, until: float) -> None:
        """Deliver until nothing waits, an attempt fails, or the steady clock shows `until`."""
        while boottime() < until and self._outbox.behind(self.name):
            if not self.step(threading.Event(), wait_s=0.0, patient=False):
                return

    def step(self, stop: threading.Event, *, wait_s: float, patient: bool = True) -> bool:
        """Deliver one batch; return False where it failed.

        Parameters
        ----------
        stop
            Ends a pause.
        wait_s
            How long to wait for records.
        patient
            True to pause after a failure, longer each time.
        """
        rows = self._outbox.pending(self.name, limit=BATCH, wait_s=wait_s)
        try:
            if rows:
                stored = self._sink.deliver(rows, self._outbox.stream)
                self._outbox.delivered(self.name, stored)
            else:
                stored = 0
                self._sink.idle()
        except (OSError, DeliveryError, OutboxError) as error:
            self._sink.close()
            self._failed(str(error))
            if patient:
                stop.wait(self._pause_s * random.uniform(0.8, 1.2))  # many devices must not come back at once
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return False
        self.sent += sum(row.seq <= stored for row in rows)
        if self.error:
            self._log.info("output works again", output=self.name, after_s=round(boottime() - self.since, 1))
            self.error, self.since = None, boottime()
        self._pause_s = FIRST_PAUSE_S
        return True

    def _failed(self, error: str) -> None:
        self._log.warning("output fails; records are kept", output=self.name, error=error)
        if self.error is None:
            self.since = boottime()
        self.error = error
