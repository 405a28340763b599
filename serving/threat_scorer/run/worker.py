"""The queue -> the outbox: takes what is there, scores it, writes it to the disk, and only then answers the senders."""

import threading
from collections.abc import Mapping

from threat_scorer.run.clock import Clock, boottime
from threat_scorer.run.monitoring.counters import Meter
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.outbox import Entry, Outbox, OutboxError
from threat_scorer.run.queue import IntakeQueue, Item, Outcome
from threat_scorer.run.record_scorer import Answerer

BATCH = 256
"""Most records that share one write to the disk."""
PAUSE_S = 0.2


class Worker:
    """Scores the records of all inputs.

    Parameters
    ----------
    answerers
        By the input's name.
    """

    def __init__(
        self,
        queue: IntakeQueue,
        outbox: Outbox,
        answerers: Mapping[str, Answerer],
        *,
        clock: Clock,
        meter: Meter,
        log: Log,
    ) -> None:
        self._queue, self._outbox, self._answerers = queue, outbox, answerers
        self._clock, self._meter, self._log = clock, meter, log

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` and the queue is empty."""
        while self.step(stop, wait_s=0.5) or not stop.is_set():
            pass

    def step(self, stop: threading.Event, *, wait_s: float) -> bool:
        """Work on what is there; return False where nothing was."""
        if not (items := self._queue.take(BATCH, wait_s)):
            return False
        self._meter.busy_since = boottime()
        pairs = [(item, self._answer(item)) for item in items]
        try:
            self._keep(pairs)
        except OutboxError as error:
            self._log.warning("the outbox takes no records", error=str(error))
            self._keep_one_by_one(pairs, stop)
        self._meter.busy_since = None
        return True

    def _answer(self, item: Item) -> Entry:
        self._meter.inputs[item.source] = item.read_at
        moment = self._clock.now()
        self._meter.clock_uncertain = moment.uncertain
        entry = self._answerers[item.source].answer(item.line, number=item.number, moment=moment, place=item.place)
        if entry.probability is None:
            self._log.info("record refused", input=item.source, line=item.number)
            self._log.detail("record refused, in full", body=entry.body.decode())
        return entry

    def _keep(self, pairs: list[tuple[Item, Entry]]) -> None:
        positions = {item.source: item.position for item, _ in pairs if item.position}
        entries = [entry for _, entry in pairs]
        numbers = self._outbox.put(entries, positions=positions, latest=self._clock.latest)
        now = boottime()
        refused = sum(entry.probability is None for entry in entries)
        latencies = [now - item.read_at for item, _ in pairs]
        self._meter.kept(scored=len(pairs) - refused, refused=refused, latencies_s=latencies)
        for (item, entry), seq in zip(pairs, numbers, strict=True):
            if item.reply:
                item.reply(Outcome(item.number, seq=seq, entry=entry))

    def _keep_one_by_one(self, pairs: list[tuple[Item, Entry]], stop: threading.Event) -> None:
        """Keep what can be kept; a sender that gets a reply is told to keep the rest, for others we wait for room."""
        for i, (item, entry) in enumerate(pairs):
            while not self._kept(item, entry):
                if item.refusable:
                    break
                if stop.wait(PAUSE_S):
                    # a file is read again from here, so nothing after this line may move its position
                    self._turn_away([later for later, _ in pairs[i:]], "the process ends")
                    return
                self._meter.busy_since = boottime()  # waiting for room is not being stuck

    def _kept(self, item: Item, entry: Entry) -> bool:
        try:
            self._keep([(item, entry)])
        except OutboxError as error:
            if item.refusable:
                self._turn_away([item], str(error))
            return False
        return True

    def _turn_away(self, items: list[Item], error: str) -> None:
        for item in items:
            if item.reply:
                self._meter.turned_away += 1
                item.reply(Outcome(item.number, error=error))
