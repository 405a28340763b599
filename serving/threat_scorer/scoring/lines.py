"""A stream of bytes -> its lines, as many as are ready; memory is bounded whatever comes."""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator

CHUNK_BYTES = 2**16
LONGEST_LINE_BYTES = 2**20


class TooLong:
    """Stands for a line over `LONGEST_LINE_BYTES`, which was read past and not kept."""


def read_lines(read: Callable[[int], bytes]) -> Iterator[list[bytes | TooLong]]:
    """Yield the lines that are ready, without their ends; memory is bounded whatever comes.

    The last line needs no end. A byte order mark at the head of the stream is no part of its first line. A line over
    `LONGEST_LINE_BYTES` is yielded as `TooLong`.
    """
    rest = bytearray()
    skipping = False
    read = _without_mark(read)
    while chunk := read(CHUNK_BYTES):
        *ended, tail = chunk.split(b"\n")
        lines: list[bytes | TooLong] = []
        for part in ended:
            whole = skipping or len(rest) + len(part) > LONGEST_LINE_BYTES
            lines.append(TooLong() if whole else bytes(rest + part))
            rest.clear()
            skipping = False
        if skipping or len(rest) + len(tail) > LONGEST_LINE_BYTES:
            skipping = True
            rest.clear()
        else:
            rest += tail
        if lines:
            yield lines
    if skipping:
        yield [TooLong()]
    elif rest:
        yield [bytes(rest)]


def _without_mark(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return a reader of the same stream without the byte order mark at its head."""
    head: bytes | None = b""

    def reading(size: int) -> bytes:
        nonlocal head
        while head is not None:
            chunk = read(size)
            head += chunk
            if chunk and len(head) < len(BOM_UTF8) and BOM_UTF8.startswith(head):
                continue
            begin, head = head.removeprefix(BOM_UTF8), None
            if begin or not chunk:
                return begin
        return read(size)

    return reading
