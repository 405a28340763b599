"""Lines that were read -> a bounded queue that refuses lines by its policy -> lines to score."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from threat_scorer.run.outbox.entries import Entry
from threat_scorer.scoring.lines import TooLong


@dataclass(frozen=True)
class Outcome:
    """The outcome of one line, for its sender."""

    number: int
    """The line's number within its connection."""
    seq: int | None = None
    """Sequence number in the outbox; None where nothing was stored."""
    entry: Entry | None = None
    """The record that was written to the disk, if one was."""
    error: str | None = None
    """Why nothing was stored: the peer should send the line again, later."""


@dataclass(frozen=True)
class Item:
    """A line that awaits its score."""

    source: str
    """Name of the input."""
    number: int
    line: bytes | TooLong
    read_at: float
    """When it was read, in seconds of the steady clock."""
    place: str | None = None
    """Names the line for good; see `RecordScorer.score`."""
    position: str | None = None
    """How far the input has been read with this line; the outbox keeps it with the score."""
    reply: Callable[[Outcome], None] | None = None
    """Takes the outcome, without waiting; None for a sender that gets no reply."""
    waits: bool = False
    """True where the sender cannot send it again on demand: it is not refused, but waits for room."""

    @property
    def refusable(self) -> bool:
        """Whether the sender gets a reply and can send it again."""
        return self.reply is not None and not self.waits


class IntakeQueue:
    """A bounded queue between the inputs and the scorer.

    Parameters
    ----------
    limit
        Most items in it.
    limit_bytes
        Most bytes of their lines, not counting the last line.
    overload
        Which item is refused when it is full; only one whose sender gets a reply, and can send it again.
    """

    def __init__(self, limit: int, overload: Literal["oldest", "newest", "wait"], *, limit_bytes: int = 2**24) -> None:
        self.limit, self._limit_bytes, self._overload = limit, limit_bytes, overload
        self.refused = 0
        """How many items were refused."""
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Add an item, or refuse one by the policy, or wait for room; return False where the queue is closed."""
        with self._changed:
            while self._full() and not self._closed:
                if item.refusable and self._overload == "newest":
                    self._refuse(item)
                    return True
                if self._overload == "oldest" and (oldest := self._oldest_refusable()) is not None:
                    refused = self._items[oldest]
                    del self._items[oldest]
                    self._bytes -= _size(refused)
                    self._refuse(refused)
                else:
                    self._changed.wait(1.0)
            if self._closed:
                return False
            self._items.append(item)
            self._bytes += _size(item)
            self._changed.notify_all()
            return True

    def take(self, most: int, timeout_s: float) -> list[Item]:
        """Return the oldest items, at most `most`; none where none came within `timeout_s`."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(timeout_s)
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._bytes -= sum(map(_size, taken))
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take no more items; those in it can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _full(self) -> bool:
        return len(self._items) >= self.limit or self._bytes >= self._limit_bytes

    def _oldest_refusable(self) -> int | None:
        return next((i for i, item in enumerate(self._items) if item.refusable), None)

    def _refuse(self, item: Item) -> None:
        self.refused += 1
        if item.reply:
            item.reply(Outcome(item.number, error="overload: more records came than can be scored"))


def _size(item: Item) -> int:
    return len(item.line) if isinstance(item.line, bytes) else 0
