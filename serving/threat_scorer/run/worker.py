"""The queue -> the outbox: scores the lines at hand, writes them to the disk, and then answers their senders."""

import threading
from collections.abc import Mapping

from threat_scorer.run.clock import Clock, boottime
from threat_scorer.run.monitoring.counters import Counters
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.entries import Entry, OutboxError
from threat_scorer.run.outbox.outbox import Outbox
from threat_scorer.run.queue import IntakeQueue, Item, Outcome
from threat_scorer.run.record_scorer import RecordScorer

BATCH = 256
"""Most records that share one write to the disk."""
PAUSE_S = 0.2


class Worker:
    """Scores the records of all inputs.

    Parameters
    ----------
    queue
        Where the records come from.
    outbox
        Where the scores go.
    record_scorers
        By the input's name.
    clock
        Gives the time at which a record is scored.
    counters
        Counted up with each record.
    log
        Takes the rejected records.
    """

    def __init__(
        self,
        queue: IntakeQueue,
        outbox: Outbox,
        record_scorers: Mapping[str, RecordScorer],
        *,
        clock: Clock,
        counters: Counters,
        log: Log,
    ) -> None:
        self._queue, self._outbox, self._record_scorers = queue, outbox, record_scorers
        self._clock, self._counters, self._log = clock, counters, log

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` and the queue is empty."""
        while self.step(stop, wait_s=0.5) or not stop.is_set():
            pass

    def step(self, stop: threading.Event, *, wait_s: float) -> bool:
        """Score the records at hand, waiting up to `wait_s` for some; return False where there were none."""
        if not (items := self._queue.take(BATCH, wait_s)):
            return False
        self._counters.busy_since = boottime()
        pairs = [(item, self._score(item)) for item in items]
        try:
            self._store(pairs)
        except OutboxError as error:
            self._log.warning("the outbox takes no records", error=str(error))
            self._store_one_by_one(pairs, stop)
        self._counters.model_failures = sum(scorer.model_failures for scorer in self._record_scorers.values())
        self._counters.busy_since = None
        return True

    def _score(self, item: Item) -> Entry:
        self._counters.inputs[item.source] = item.read_at
        moment = self._clock.now()
        self._counters.clock_uncertain = moment.uncertain
        record_scorer = self._record_scorers[item.source]
        entry = record_scorer.score(item.line, number=item.number, moment=moment, place=item.place)
        if entry.probability is None:
            self._log.info("record rejected", input=item.source, line=item.number)
            self._log.detail("record rejected, in full", body=entry.body.decode())
        return entry

    def _store(self, pairs: list[tuple[Item, Entry]]) -> None:
        positions = {item.source: item.position for item, _ in pairs if item.position}
        entries = [entry for _, entry in pairs]
        numbers = self._outbox.put(entries, positions=positions, latest=self._clock.latest)
        now = boottime()
        rejected = sum(entry.probability is None for entry in entries)
        latencies = [now - item.read_at for item, _ in pairs]
        self._counters.add_stored(scored=len(pairs) - rejected, rejected=rejected, latencies_s=latencies)
        for (item, entry), seq in zip(pairs, numbers, strict=True):
            if item.reply:
                item.reply(Outcome(item.number, seq=seq, entry=entry))

    def _store_one_by_one(self, pairs: list[tuple[Item, Entry]], stop: threading.Event) -> None:
        """Store each record that finds room.

        A record whose sender gets a reply is turned away: the sender keeps it. Any other waits for room.
        """
        for i, (item, entry) in enumerate(pairs):
            while not self._stored(item, entry):
                if item.refusable:
                    break
                if stop.wait(PAUSE_S):
                    # a file is read again from here, so nothing after this line may move its position
                    self._turn_away([later for later, _ in pairs[i:]], "the process ends")
                    return
                self._counters.busy_since = boottime()  # waiting for room is not being stuck

    def _stored(self, item: Item, entry: Entry) -> bool:
        try:
            self._store([(item, entry)])
        except OutboxError as error:
            if item.refusable:
                self._turn_away([item], str(error))
            return False
        return True

    def _turn_away(self, items: list[Item], error: str) -> None:
        for item in items:
            if item.reply:
                self._counters.turned_away += 1
                item.reply(Outcome(item.number, error=error))
