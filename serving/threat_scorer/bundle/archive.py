"""A bundle's file <-> its members: an uncompressed tar (POSIX ustar) in one canonical form.

A header contains a name and a size; every other byte of it follows from those two. A reader makes the header again and
compares. So a header can carry nothing hostile: no path, link, owner, date, sparse map or extension. Members start on
512 bytes, so that numbers in them can be memory-mapped. ``tar xf`` opens it too.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
END = bytes(2 * BLOCK)
LARGEST_ARCHIVE_BYTES = 2**30
CHUNK_BYTES = 2**20


class ArchiveError(ValueError):
    """A file that is no archive in the canonical form."""


@dataclass(frozen=True)
class Member:
    """The position of one member."""

    name: str
    offset: int
    """Of its first byte, from the start of the file."""
    size: int


def write(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    """Write an archive with its members in the order given; the same members give the same bytes."""
    for name, data in members.items():
        file.write(header(name, len(data)))
        file.write(data)
        file.write(bytes(-len(data) % BLOCK))
    file.write(END)


def header(name: str, size: int) -> bytes:
    """Return the one header that a member of this name, in ASCII, and size has (POSIX.1-1988, "ustar")."""
    mode, owner, group, time = b"0000644\0", b"0000000\0", b"0000000\0", b"%011o\0" % 0
    before = struct.pack("100s8s8s8s12s12s", name.encode("ascii"), mode, owner, group, b"%011o\0" % size, time)
    # a plain file without a link; then no names of owners, no device, no prefix
    after = struct.pack("1s100s6s2s247x", b"0", b"", b"ustar\0", b"00")
    checksum = sum(before) + sum(b" " * 8) + sum(after)
    return before + b"%06o\0 " % checksum + after


def members(file: BinaryIO, size: int) -> Iterator[Member]:
    """Yield the members in their order, one header read for each; nothing else is read.

    Parameters
    ----------
    file
        Open at its start.
    size
        Of the whole file, in bytes.

    Raises
    ------
    ArchiveError
        A header is not canonical, a member reaches past the end, the padding is not zero, or something follows the
        end.
    """
    if size > LARGEST_ARCHIVE_BYTES:
        raise ArchiveError(f"{size} bytes; expected at most {LARGEST_ARCHIVE_BYTES}")
    position = 0
    while (block := _read(file, position, BLOCK)) != bytes(BLOCK):
        member = _member(block, position)
        end = member.offset + member.size
        padding = -member.size % BLOCK
        if end + padding + len(END) > size:
            raise ArchiveError(f"member {member.name} ends at {end + padding} of {size} bytes: cut short")
        yield member
        if _read(file, end, padding) != bytes(padding):
            raise ArchiveError(f"member {member.name} is padded with something; expected zeros")
        position = end + padding
    if _read(file, position, len(END) + 1) != END:
        raise ArchiveError(f"something stands after the end at byte {position}; expected {len(END)} zeros alone")


def chunks(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """Yield the bytes of a member, piece by piece."""
    for start in range(0, member.size, CHUNK_BYTES):
        yield _read(file, member.offset + start, min(CHUNK_BYTES, member.size - start))


def _member(block: bytes, position: int) -> Member:
    name_field, size_field = block[:100].rstrip(b"\0"), block[124:136]
    if len(block) == BLOCK and name_field.isascii() and re.fullmatch(rb"[0-7]{11}\0", size_field):
        name, size = name_field.decode("ascii"), int(size_field[:-1], 8)
        if name and "\0" not in name and header(name, size) == block:
            return Member(name, position + BLOCK, size)
    raise ArchiveError(f"no member in canonical form at byte {position}")


def _read(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)
