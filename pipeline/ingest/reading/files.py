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
    def spoilt(self) -> bool:
        """Whether what was read so far holds NUL bytes, or bytes that are not text in the file's encoding."""
        return self._unpacked.spoilt


@contextmanager
def open_utf8(path: Path, form: Format, see: Callable[[bytes], None] | None = None) -> Iterator[Stream]:
    """Open a file's text as valid UTF-8.

    Bytes that the encoding does not have travel as `undecodable` says: the cell that holds them is refused, not the
    file.

    Parameters
    ----------
    see
        Is given every piece of the text as it is read.

    Raises
    ------
    SourceError
        While reading: the file is a damaged gzip, or has more than `Format.most_mib` when unpacked.
    """
    with path.open("rb") as plain:
        yield Stream(_Unpacked(plain, path, form, see))


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
    if size > form.most_mib * MIB:
        raise SourceError(
            f"{path}: {size / MIB:.0f} MiB when unpacked; expected at most format.limit_mib = {form.most_mib:g}"
        )


class _Unpacked(io.RawIOBase):
    """Unpacks, transcodes and counts, a piece at a time."""

    def __init__(self, plain: IO[bytes], path: Path, form: Format, see: Callable[[bytes], None] | None) -> None:
        packed = form.compression == "gzip"
        self._source: IO[bytes] = gzip.GzipFile(fileobj=plain) if packed else plain  # type: ignore[assignment]
        self._path, self._limit_mib, self._left = path, form.most_mib, int(form.most_mib * MIB)
        self._decoder = codecs.getincrementaldecoder(form.encoding)("surrogateescape")
        self._as_it_is = codecs.lookup(form.encoding).name in ("utf-8", "ascii")
        self._encoding = form.encoding
        self._pending = b""
        self._at_start = True
        self._see = see
        self.spoilt = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._pending:
            piece = self._read(len(buffer))
            self._pending = self._to_utf8(piece)
            if self._see is not None:
                self._see(self._pending)
            if not piece:
                break
        taken, self._pending = self._pending[: len(buffer)], self._pending[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

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
        self.spoilt = self.spoilt or b"\0" in piece
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
            self.spoilt = True
            return to_utf8(text)
