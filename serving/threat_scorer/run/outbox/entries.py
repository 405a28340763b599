"""The records that wait in the outbox, going in and coming out, and why it may take none."""

from dataclasses import dataclass


class OutboxError(Exception):
    """The disk did not take the records; none of them was stored."""


class OutboxFull(OutboxError):
    """The limit is reached, and the policy is to refuse."""


@dataclass(frozen=True)
class Entry:
    """A record to deliver."""

    key: str
    """Same record, same key: a receiver knows a repeated record by it."""
    body: bytes
    """JSON object."""
    probability: float | None
    """None for a rejection."""


@dataclass(frozen=True)
class Row:
    """A record that waits to be delivered."""

    seq: int
    key: str
    body: bytes
