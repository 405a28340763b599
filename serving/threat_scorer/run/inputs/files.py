"""Standard input and files that grow -> items on the queue."""

import contextlib
import hashlib
import json
import os
import sys
import threading
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from threat_scorer.run.clock import boottime
from threat_scorer.run.inputs.blank import is_blank
from threat_scorer.run.queue import IntakeQueue, Item
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong, read_lines

POLL_S = 0.1
HEAD_BYTES = 256


def read_stdin(name: str, queue: IntakeQueue, stop: threading.Event) -> None:
    """Put the lines of standard input on the queue, until its end.

    Parameters
    ----------
    name
        Of the input.
    queue
        Where the lines go.
    stop
        Set when the process stops.
    """
    number = 0
    for lines in read_lines(lambda most: os.read(sys.stdin.fileno(), most)):
        for line in lines:
            number += 1
            if is_blank(line):
                continue
            if not queue.put(Item(name, number, line, boottime())) or stop.is_set():
                return


@dataclass(frozen=True)
class FilePosition:
    """A position in a file: how far the file was read."""

    inode: int
    offset: int
    head: str
    """Digest of the first bytes before `offset`, at most `HEAD_BYTES`: an inode's number is used again."""

    def to_json(self) -> str:
        """Return the position as text."""
        return json.dumps([self.inode, self.offset, self.head])

    @classmethod
    def from_json(cls, text: str) -> "FilePosition":
        """Read what `to_json` wrote."""
        return cls(*json.loads(text))

    def lies_in(self, file: BinaryIO) -> bool:
        """Return whether this is a position in `file`: the same file, no shorter than it was."""
        status = os.fstat(file.fileno())
        same = status.st_ino == self.inode and status.st_size >= self.offset
        return same and _head(file, self.offset) == self.head


class FollowedFile:
    """Reads a file of JSON Lines as it grows, across rotation by renaming and across restarts.

    Parameters
    ----------
    path
        The file; it need not exist yet.
    position
        Where reading goes on, as the outbox keeps it; None to begin at the start.
    """

    def __init__(self, path: Path, position: str | None) -> None:
        self._path = path
        self._number = 0
        self._file: BinaryIO | None = None
        if position:
            self._resume(FilePosition.from_json(position))

    def follow(self, put: Callable[[int, bytes | TooLong, str, str], bool], stop: threading.Event) -> None:
        """Pass each line to `put` with its number and the positions before and after it, until `stop` or False."""
        try:
            while not stop.is_set():
                file = self._file or self._open()
                if file is None:
                    stop.wait(POLL_S)
                    continue
                rotated = self._rotated(file)  # checked before reading: lines written before the rename are then read
                if not self._read(file, put, whole=rotated):
                    return
                if rotated:
                    self._close()
                else:
                    stop.wait(POLL_S)
        finally:
            self._close()

    def _close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO | None:
        with contextlib.suppress(OSError):
            self._file = self._path.open("rb")
        return self._file

    def _resume(self, position: FilePosition) -> None:
        """Open the file that the position is in: it may have been renamed since."""
        for path in (self._path, *sorted(self._path.parent.glob(f"{self._path.name}*"))):
            with contextlib.suppress(OSError):
                file = path.open("rb")
                if position.lies_in(file):
                    file.seek(position.offset)
                    self._file = file
                    return
                file.close()

    def _rotated(self, file: BinaryIO) -> bool:
        """Return whether the path leads to another file, or `file` was cut short."""
        try:
            current = self._path.stat()
        except OSError:
            return False  # between the rename and the new file
        opened = os.fstat(file.fileno())
        return current.st_ino != opened.st_ino or opened.st_size < file.tell()

    def _read(self, file: BinaryIO, put: Callable[[int, bytes | TooLong, str, str], bool], *, whole: bool) -> bool:
        """Pass on the lines at hand; a last line without its end only where the file is `whole`."""
        inode = os.fstat(file.fileno()).st_ino
        while True:
            start = file.tell()
            line = file.readline(LONGEST_LINE_BYTES + 1)
            long = len(line) > LONGEST_LINE_BYTES and not line.endswith(b"\n")
            if long:
                line = _skip_to_end(file)
            if not line or not (line.endswith(b"\n") or whole):
                file.seek(start)
                return True
            self._number += 1
            end = file.tell()
            head = _head(file, end)
            text = TooLong() if long else line.removesuffix(b"\n")
            if isinstance(text, bytes) and start == 0:
                text = text.removeprefix(BOM_UTF8)
            if is_blank(text):
                continue
            before, after = FilePosition(inode, start, head), FilePosition(inode, end, head)
            if not put(self._number, text, before.to_json(), after.to_json()):
                return False


def follow_file(name: str, file: FollowedFile, queue: IntakeQueue, stop: threading.Event) -> None:
    """Put the lines of a growing file on the queue.

    Parameters
    ----------
    name
        Of the input.
    file
        The file, at the position where reading goes on.
    queue
        Where the lines go.
    stop
        Set when the process stops.
    """

    def put(number: int, line: bytes | TooLong, place: str, position: str) -> bool:
        """Put a line on the queue.

        Parameters
        ----------
        number
            Of the line.
        line
            Without its end.
        place, position
            Positions before and after the line, as JSON.
        """
        return queue.put(Item(name, number, line, boottime(), place, position))

    file.follow(put, stop)


def _skip_to_end(file: BinaryIO) -> bytes:
    """Read past the rest of a long line; return its last part."""
    part = file.readline(LONGEST_LINE_BYTES)
    while part and not part.endswith(b"\n"):
        part = file.readline(LONGEST_LINE_BYTES)
    return part


def _head(file: BinaryIO, offset: int) -> str:
    return hashlib.blake2b(os.pread(file.fileno(), min(offset, HEAD_BYTES), 0), digest_size=8).hexdigest()
