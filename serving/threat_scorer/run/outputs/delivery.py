"""The outbox -> the sinks of `sinks`: in order, again after an outage, noted once it is safe there."""

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from threat_scorer.run.clock import boottime
from threat_scorer.run.config.settings import Position
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.outbox import Outbox, OutboxError, Row

BATCH = 256
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0


class DeliveryError(Exception):
    """A peer that does not take records now; they stay in the outbox."""


@dataclass(frozen=True)
class Device:
    """What a sink may say of the device and its process."""

    name: str
    bundle: str
    """Identity of the bundle that scores."""
    position: Position | None
    """Where it stands; None for one that moves."""
    latest_seq: Callable[[], int]
    """Tells the highest sequence number in the outbox."""
    level: Callable[[], str]
    """Tells how it does: ``ok``, ``warning`` or ``failure``."""
    log: Log


class Sink(ABC):
    """Where records go; what a kind of sink has no use for does nothing."""

    def open(self) -> None:
        """Begin to connect, where that is not left to the first delivery."""
        return

    @abstractmethod
    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Hand over rows; return the sequence number up to which they are safe there.

        Raises
        ------
        OSError, DeliveryError
            None of them is known to be safe.
        """

    def idle(self) -> None:
        """Do what is to be done while there is nothing to deliver.

        Raises
        ------
        OSError, DeliveryError
            The peer is gone.
        """
        return

    def close(self) -> None:
        """Let go of file or peer, after a failure or for good; it is opened again by the next delivery."""
        return

    def leave(self) -> None:
        """Say farewell, where that is usual: the process ends."""
        return

    @property
    def trouble(self) -> str | None:
        """What is wrong, where that is known without a delivery."""
        return None


class Delivery:
    """Carries records from the outbox to one output, for as long as the process runs.

    Parameters
    ----------
    name, sink
        The output's name and what it is.
    """

    def __init__(self, name: str, sink: Sink, outbox: Outbox, log: Log) -> None:
        self.name, self._sink, self._outbox, self._log = name, sink, outbox, log
        self.error: str | None = None
        """Why the last delivery failed; None where it did not."""
        self.since = boottime()
        """Steady time since when it is so."""
        self.sent = 0
        self._pause_s = FIRST_PAUSE_S

    @property
    def trouble(self) -> str | None:
        """Why nothing can be delivered now; None where all is well, as far as is known."""
        return self.error or self._sink.trouble

    def leave(self) -> None:
        """Say farewell: the process ends."""
        self._sink.leave()
        self._sink.close()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop`."""
        self._sink.open()
        while not stop.is_set():
            self.step(stop, wait_s=0.5)

    def drain(self, until: float) -> None:
        """Deliver what waits, until all is delivered, an attempt fails, or the steady clock shows `until`."""
        while boottime() < until and self._outbox.behind(self.name):
            if not self.step(threading.Event(), wait_s=0.0, patient=False):
                return

    def step(self, stop: threading.Event, *, wait_s: float, patient: bool = True) -> bool:
        """Deliver one batch; after a failure pause, longer each time. Return False where it failed."""
        rows = self._outbox.pending(self.name, limit=BATCH, wait_s=wait_s)
        try:
            if rows:
                safe = self._sink.deliver(rows, self._outbox.stream)
                self._outbox.delivered(self.name, safe)
            else:
                safe = 0
                self._sink.idle()
        except (OSError, DeliveryError, OutboxError) as error:
            self._sink.close()
            self._failed(str(error))
            if patient:
                stop.wait(self._pause_s * random.uniform(0.8, 1.2))  # many devices must not come back at once
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return False
        self.sent += sum(row.seq <= safe for row in rows)
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
