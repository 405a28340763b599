"""Score records -> a bounded queue on disk that survives a power cut -> the rows that each output lacks.

The queue is an SQLite file in WAL mode with ``synchronous=FULL``. When `Outbox.put` has returned, the records are on
the disk, and only then may they be acknowledged. The position of each input is committed together with its scores.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from threat_scorer.run.outbox.database import open_file, put_aside
from threat_scorer.run.outbox.entries import Entry, OutboxError, OutboxFull, Row

WhenFull = Literal["oldest", "lowest", "refuse"]

LATEST_EVERY_S = 10.0
"""The latest believed time is written again when it is newer by so much."""
ROW_BYTES = 96
"""Approximate size of a row on disk besides its key and body."""


class Outbox:
    """Records that not every output has yet.

    Parameters
    ----------
    path
        SQLite file; made where there is none. A damaged one is put aside as ``<name>.damaged-<n>``.
    outputs
        Names of all outputs. A new output gets the records that still wait; a removed output is forgotten.
    limit_bytes
        Most bytes of records that wait.
    when_full
        Which records are dropped then: the oldest, the least probable, or none: then `put` raises `OutboxFull`.

    Raises
    ------
    OutboxError
        The file cannot be opened or written.
    """

    def __init__(self, path: Path, *, outputs: Sequence[str], limit_bytes: int, when_full: WhenFull) -> None:
        self.limit_bytes, self._when_full = limit_bytes, when_full
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)
        self.bytes, self.depth = 0, 0
        self.damaged: Path | None = None
        """Where a damaged file was put, if there was one."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = open_file(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise OutboxError(f"{path}: cannot be opened: {error}") from None
            self.damaged = put_aside(path)
            self._db = open_file(path)
        except OSError as error:
            raise OutboxError(f"{path}: cannot be made: {error.strerror}") from None
        with self._transaction():
            self._prepare(outputs)
        self.bytes, self.depth = self._db.execute(
            f"SELECT coalesce(sum(length(body) + length(key) + {ROW_BYTES}), 0), count(*) FROM outbox"
        ).fetchone()
        self._latest = float(self.fact("latest"))
        self.stream: str = self.fact("stream")
        """Names this file: where it changes, the sequence begins anew."""

    def put(
        self, entries: Sequence[Entry], *, positions: Mapping[str, str] | None = None, latest: float = 0.0
    ) -> list[int]:
        """Write records to the disk: all of them, or none.

        Parameters
        ----------
        entries
            In the order of delivery. One whose key still waits is not written again.
        positions
            How far inputs have been read with these entries, by the input's name.
        latest
            Latest believed time, kept for the next start, to `LATEST_EVERY_S`.

        Returns
        -------
        list of int
            The sequence number of each entry.

        Raises
        ------
        OutboxFull
            There is no room and the policy is to refuse.
        OutboxError
            The disk failed.
        """
        with self._lock:
            with self._transaction():
                depth = self.depth
                numbers = [self._insert(entry) for entry in entries]
                accepted = self.depth - depth
                self._count("accepted", accepted)
                self._count("repeated", len(entries) - accepted)
                self._make_room()
                if positions:
                    self._db.executemany("INSERT OR REPLACE INTO position VALUES (?, ?)", positions.items())
                if keep_latest := latest > self._latest + LATEST_EVERY_S:
                    self._db.execute("INSERT OR REPLACE INTO fact VALUES ('latest', ?)", (repr(latest),))
            if keep_latest:
                self._latest = latest
            self._arrived.notify_all()
            return numbers

    def pending(self, output: str, *, limit: int, after: int = 0, wait_s: float = 0.0) -> list[Row]:
        """Return the oldest records that an output lacks.

        Parameters
        ----------
        output
            Its name.
        limit
            Most records to return.
        after
            Only records with a higher sequence number.
        wait_s
            Where there are none, how long to wait for some.
        """
        with self._arrived:
            if not (rows := self._pending(output, limit, after)) and wait_s:
                self._arrived.wait(wait_s)
                rows = self._pending(output, limit, after)
            return rows

    def _pending(self, output: str, limit: int, after: int) -> list[Row]:
        rows = self._db.execute(
            "SELECT seq, key, body FROM outbox WHERE seq > max(?, (SELECT seq FROM delivered WHERE output = ?)) "
            "ORDER BY seq LIMIT ?",
            (after, output, limit),
        )
        return [Row(*row) for row in rows]

    def delivered(self, output: str, seq: int) -> None:
        """Note that `output` has all records up to `seq`; delete the records that every output has.

        After a power cut before the disk has the note, the records are delivered again.

        Raises
        ------
        OutboxError
            The disk failed: they will be delivered again.
        """
        with self._lock, self._transaction(flushed=False):
            self._db.execute("UPDATE delivered SET seq = max(seq, ?) WHERE output = ?", (seq, output))
            (done,) = self._db.execute("SELECT min(seq) FROM delivered").fetchone()
            self._delete("seq <= ?", done)

    def position(self, name: str) -> str | None:
        """Return how far the input of that name was read."""
        with self._lock:
            row = self._db.execute("SELECT value FROM position WHERE input = ?", (name,)).fetchone()
            return row[0] if row else None

    def fact(self, name: str) -> str:
        """Return a fact about the file: ``stream`` or ``latest``."""
        with self._lock:
            value: str = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()[0]
            return value

    def latest_seq(self) -> int:
        """Return the highest sequence number ever given; 0 before the first."""
        with self._lock:
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
            return int(row[0]) if row else 0

    def counts(self) -> dict[str, int]:
        """Return the counts since the file was made: ``accepted``, ``repeated`` and ``dropped``."""
        with self._lock:
            return dict(self._db.execute("SELECT name, value FROM counted ORDER BY name"))

    def behind(self, output: str) -> int:
        """Return how many records wait for `output`."""
        with self._lock:
            (count,) = self._db.execute(
                "SELECT count(*) FROM outbox WHERE seq > (SELECT seq FROM delivered WHERE output = ?)", (output,)
            ).fetchone()
            return int(count)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _prepare(self, outputs: Sequence[str]) -> None:
        for name in outputs:
            self._db.execute("INSERT OR IGNORE INTO delivered VALUES (?, 0)", (name,))
        known = [name for (name,) in self._db.execute("SELECT output FROM delivered")]
        for name in set(known) - set(outputs):
            self._db.execute("DELETE FROM delivered WHERE output = ?", (name,))
        for name in ("accepted", "repeated", "dropped"):
            self._db.execute("INSERT OR IGNORE INTO counted VALUES (?, 0)", (name,))
        facts = {"stream": os.urandom(6).hex(), "latest": "0.0"}
        self._db.executemany("INSERT OR IGNORE INTO fact VALUES (?, ?)", facts.items())
        if self._when_full == "lowest":
            self._db.execute("CREATE INDEX IF NOT EXISTS by_probability ON outbox (probability, seq)")
        else:
            self._db.execute("DROP INDEX IF EXISTS by_probability")

    def _insert(self, entry: Entry) -> int:
        inserted = self._db.execute(
            "INSERT OR IGNORE INTO outbox (key, probability, body) VALUES (?, ?, ?)",
            (entry.key, entry.probability, entry.body),
        )
        if inserted.rowcount == 0:
            (seq,) = self._db.execute("SELECT seq FROM outbox WHERE key = ?", (entry.key,)).fetchone()
            return int(seq)
        self.bytes += len(entry.body) + len(entry.key) + ROW_BYTES
        self.depth += 1
        return int(inserted.lastrowid or 0)

    def _make_room(self) -> None:
        """Delete by the policy until the size is within the limit."""
        if self.bytes <= self.limit_bytes:
            return
        if self._when_full == "refuse":
            raise OutboxFull(f"the outbox is full: {self.depth} records wait")
        order = "probability, seq" if self._when_full == "lowest" else "seq"  # NULL, a rejection, is the least
        excess = self.bytes - self.limit_bytes
        doomed = []
        for seq, size in self._db.execute(
            f"SELECT seq, length(body) + length(key) + {ROW_BYTES} FROM outbox ORDER BY {order}"
        ):
            doomed.append(seq)
            excess -= size
            if excess <= 0:
                break
        for seq in doomed:
            self._delete("seq = ?", seq)
        self._count("dropped", len(doomed))

    def _delete(self, where: str, seq: int) -> None:
        deleted = self._db.execute(
            f"DELETE FROM outbox WHERE {where} RETURNING length(body) + length(key) + {ROW_BYTES}", (seq,)
        ).fetchall()
        self.bytes -= sum(size for (size,) in deleted)
        self.depth -= len(deleted)

    def _count(self, name: str, more: int) -> None:
        if not more:
            return
        self._db.execute("UPDATE counted SET value = value + ? WHERE name = ?", (more, name))

    @contextmanager
    def _transaction(self, *, flushed: bool = True) -> Iterator[None]:
        """Commit the statements inside together or not at all; where `flushed`, wait for the disk."""
        before = self.bytes, self.depth
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if flushed else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            self.bytes, self.depth = before
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise OutboxError(f"the disk did not take the records: {error}") from None
            raise


def to_line(row: Row, stream: str) -> bytes:
    r"""Return a record as it is sent: its sequence number, stream and key, and then its own fields.

    >>> to_line(Row(7, "a1", b'{"id": "d1"}'), "f00d")
    b'{"seq": 7, "stream": "f00d", "key": "a1", "id": "d1"}\n'
    """
    return b'{"seq": %d, "stream": "%s", "key": "%s", %s\n' % (row.seq, stream.encode(), row.key.encode(), row.body[1:])


def to_lines(rows: Sequence[Row], stream: str) -> bytes:
    """Return records as they are sent, one after the other."""
    return b"".join(to_line(row, stream) for row in rows)
