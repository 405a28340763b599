"""Files of a mirror and their digests -> the same bytes in another folder, or a message and nothing copied."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pipeline.runtime.errors import StageError
from pipeline.storage import store

_CHUNK_BYTES = 1 << 20


def copy_checked(mirror: Path, into: Path, digests: Mapping[str, str]) -> None:
    """Copy files from a mirror, each read once: the bytes that are checked are the bytes that are written.

    Parameters
    ----------
    mirror
        Folder that holds the files.
    into
        Folder that receives them, under the same relative paths.
    digests
        ``{path: SHA-256 in hex}`` of the files to copy.

    Raises
    ------
    StageError
        A file is missing, cannot be read, or has another digest than it should.
    """
    for name, expected in digests.items():
        with store.replacing(into / name) as new:
            got = _copy(mirror / name, new)
            if got != expected:
                raise StageError(
                    f"{mirror / name}: sha256 is {got}; expected {expected} as the mirror's list says. The file was "
                    "changed or damaged: fetch it again, or list its new digest if the change is meant."
                )


def _copy(source: Path, target: Path) -> str:
    """Copy one file and return the SHA-256 in hex of what was written."""
    state = hashlib.sha256()
    try:
        reader = source.open("rb")
    except OSError as error:
        raise StageError(
            f"{source}: {error.strerror}; expected a file, since the mirror's list names it. Add the file, or take it "
            "off the list and out of the dataset's sources."
        ) from None
    with reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            state.update(chunk)
            writer.write(chunk)
    return state.hexdigest()
