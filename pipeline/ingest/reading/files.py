"""A partner's file -> a stream of UTF-8 bytes: unpacked, transcoded, and refused where it grows too large."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.ingest.mapping.fields import Format
from pipeline.ingest.reading.chunk import SourceError
from pipeline.ingest.reading.invalid_bytes import to_utf8

MIB = 1 << 20


class Stream(io.BufferedReader):
    """A file's text as UTF-8 bytes."""

    def __init__(self, unpacked: "_Unpacked") -> None:
        super().__init__(unpacked, buffer_size=MIB)
        self._unpacked = unpacked

    @property
    def suspect(self) -> bool:
        """Whether the text so far holds NUL bytes, or bytes that are invalid in the file's encoding."""
        return self._unpacked.suspect


@contextmanager
def open_utf8(path: Path, form: Format, on_piece: Callable[[bytes], None] | None = None) -> Iterator[Stream]:
    """Open a file's text as valid UTF-8.

    Invalid bytes become private characters (`invalid_bytes`): ingest rejects the rows that hold them, not the file.

    Parameters
    ----------
    path
        The file.
    form
        Its encoding, compression and largest size.
    on_piece
        Receives every piece of the UTF-8 text when it is read.

    Raises
    ------
    SourceError
        While reading: the file is a damaged gzip, or has more than `Format.largest_mib` when unpacked.
    """
    with path.open("rb") as plain:
        yield Stream(_Unpacked(plain, path, form, on_piece))


def check_size(path: Path, form: Format, size: int) -> None:
    """Refuse a file that states more bytes, when unpacked, than its mapping allows.

    Parameters
    ----------
    path
        The file.
    form
        Its limit.
    size
        Bytes that it states.

    Raises
    ------
    SourceError
        Names both sizes.
    """
    if size > form.largest_mib * MIB:
        raise SourceError(
            f"{path}: {size / MIB:.0f} MiB when unpacked; expected at most format.limit_mib = {form.largest_mib:g}"
        )


class _Unpacked(io.RawIOBase):
    """Unpacks and transcodes a file, a piece at a time."""

    def __init__(self, plain: IO[bytes], path: Path, form: Format, on_piece: Callable[[bytes], None] | None) -> None:
        packed = form.compression == "gzip"
        self._source: IO[bytes] = gzip.GzipFile(fileobj=plain) if packed else plain  # type: ignore[assignment]
        self._path, self._limit_mib, self._left = path, form.largest_mib, int(form.largest_mib * MIB)
        self._decoder = codecs.getincrementaldecoder(form.encoding)("surrogateescape")
        self._as_it_is = codecs.lookup(form.encoding).name in ("utf-8", "ascii")
        self._encoding = form.encoding
        self._pending = b""
        self._at_start = True
        self._on_piece = on_piece
        self.suspect = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._pending:
            piece = self._read(len(buffer))
            self._pending = self._to_utf8(piece)
            if self._on_piece is not None:
                self._on_piece(self._pending)
            if not piece:
                break
        part, self._pending = self._pending[: len(buffer)], self._pending[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _read(self, size: int) -> bytes:
        try:
            piece = self._source.read(size)
        except EOFError:
            raise SourceError(f"{self._path}: the gzip file ends too early; have it sent again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"{self._path}: not a sound gzip file ({error}); have it sent again") from None
        self._left -= len(piece)
        if self._left < 0:
            raise SourceError(
                f"{self._path}: more than {self._limit_mib:g} MiB when unpacked; if the file is meant to be that "
                "large, raise format.limit_mib in its mapping"
            )
        return piece

    def _to_utf8(self, piece: bytes) -> bytes:
        self.suspect = self.suspect or b"\0" in piece
        try:
            text = self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{self._path}: not {self._encoding} ({error.reason}); state format.encoding in its mapping"
            ) from None
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if self._as_it_is and text.isascii() and len(text) == len(piece):
            return piece
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:
            self.suspect = True
            return to_utf8(text)
