"""Records of the outbox -> standard output, or a file that grows."""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outbox.outbox import to_lines
from threat_scorer.run.outputs.delivery import Sink

TAIL_BYTES = 2**16


class StdoutSink(Sink):
    """Standard output: a record is delivered when its reader has taken it."""

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Write rows."""
        rest = memoryview(to_lines(rows, stream))
        while rest:  # not through Python's own buffer, which would be written once more at exit
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
        return rows[-1].seq


class FileSink(Sink):
    """A file that grows: a record is delivered when it is on the disk.

    The file is opened for each batch, so it may be renamed at any time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = False

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Append rows and flush them to the disk."""
        fresh = not self._path.exists()
        with self._path.open("ab") as file:
            if not self._whole:
                _cut_torn_line(self._path)
            self._whole = False  # until the write is done
            file.write(to_lines(rows, stream))
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            _sync_folder(self._path.parent)
        self._whole = True
        return rows[-1].seq


def _cut_torn_line(path: Path) -> None:
    """Cut off a last line without its end: an interrupted write, which is done again."""
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        newline = -1
        while end and newline < 0:
            start = max(0, end - TAIL_BYTES)
            newline = os.pread(file.fileno(), end - start, start).rfind(b"\n")
            end = start + newline + 1
        if end < size:
            file.truncate(end)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
