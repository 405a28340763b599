"""The state folder of a device, from bare to wiped: its partner, its first trust file, and those that follow."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from threat_scorer.bundle import trust
from threat_scorer.bundle.trust import Trust
from threat_scorer.device import atomic_files
from threat_scorer.device import state as device_state
from threat_scorer.device.state import STATE, TRUST, State
from threat_scorer.errors import BundleError


def provision(folder: Path, trust_file: Path, *, partner: str | None, now: datetime) -> Trust:
    """Give a device its first trust file and its partner, or a newer trust file.

    Parameters
    ----------
    folder
        The state folder; it is made where it does not exist.
    trust_file
        The first, or a newer one.
    partner
        Code of the partner that the device belongs to. It is set once; None later leaves it as it is.
    now
        UTC, by the device's clock.

    Raises
    ------
    Refused
        The file is not signed by a root key (its own the first time, one of the file in use from then on), or its
        counter is not higher.
    BundleError
        The device belongs to another partner, or a file cannot be read or written.
    """
    data = device_state.read_bytes(trust_file)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be made: {error.strerror}") from None
    with locked(folder):
        if not (folder / STATE).exists():
            adopted = trust.read(data, f"{trust_file}")
            atomic_files.replace(folder / TRUST, data)
            device_state.save(folder, State.new(partner, now))
            return adopted
        state = device_state.read(folder)
        if partner not in (None, state.partner):
            raise BundleError(f"{folder}: a device of {state.partner!r}; got {partner!r}: wipe it first")
        adopted = trust.succeed(read_trust(folder), data, f"{trust_file}")
        atomic_files.replace(folder / TRUST, data)
        return adopted


def read_trust(folder: Path) -> Trust:
    """Read the trust file of a device.

    Raises
    ------
    Refused
        It is not what was adopted.
    BundleError
        There is none.
    """
    path = folder / TRUST
    return trust.read(device_state.read_bytes(path), f"{path}")


def wipe(folder: Path) -> list[str]:
    """Remove every file in the state folder, first what makes the rest useful; return their names.

    Flash keeps removed bytes until it is written over. Keep the folder on an encrypted disk, and destroy its key.

    Raises
    ------
    BundleError
        The folder is no device's state.
    """
    if not (folder / STATE).exists() and not (folder / TRUST).exists():
        raise BundleError(f"{folder}: neither {STATE} nor {TRUST}; expected the state folder of a device")
    with locked(folder):
        first = {STATE: 0, TRUST: 1}
        files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
        files.sort(key=lambda path: (first.get(path.name, 2), path))
        for path in files:
            atomic_files.remove(path)
    return [path.relative_to(folder).as_posix() for path in files]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the state folder; they wait.

    Raises
    ------
    BundleError
        There is no such folder, or the code inside cannot read or write.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"{folder}: {error.strerror}; expected the state folder of a device") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise BundleError(f"{error.filename or folder}: {error.strerror}") from None
    finally:
        os.close(descriptor)
