"""Files that survive a power cut: written whole and on the disk before they get their name.

Every change of a device's state goes through here: so a test can cut the power at every step.
"""

import os
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a new file, readable by its owner alone, and wait until its bytes are on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Give a file the name of another, which it replaces in one step, and wait until the disk knows."""
    source.replace(target)
    sync_folder(target.parent)


def replace(path: Path, data: bytes) -> None:
    """Replace a small file: after a power cut it is the old one or the new one, whole."""
    new = path.with_name(f"{path.name}.new")
    write(new, [data])
    rename(new, path)


def remove(path: Path) -> None:
    """Remove a file, and wait until the disk knows."""
    path.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
