"""What a disk may hold when the power goes: every step of a change is recorded, and each moment can be brought back.

The model is POSIX's: bytes are safe once their file is synced, names once their folder is. Of the names that changed
since, any may be on the disk and any not; of the bytes, all or none; and names and bytes need not agree.
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Inode:
    seen: bytes = b""
    """What a process reads."""
    safe: bytes = b""
    """What is on the disk for certain."""


@dataclass
class Disk:
    """One flat folder, as processes see it and as it is on the disk."""

    seen: dict[str, Inode]
    safe: dict[str, Inode]
    pending: list[dict[str, Inode | None]] = field(default_factory=list)
    """Changes of names since the folder was synced: a name and what it stands for, None where it went."""

    def change(self, names: dict[str, Inode | None]) -> None:
        """Change names in one step."""
        self.pending.append(names)
        self.seen = applied(self.seen, names)

    def sync(self) -> None:
        """Make the names safe."""
        self.safe, self.pending = self.seen, []

    def states(self) -> Iterator[dict[str, bytes]]:
        """Yield what a folder may hold after the power went now: name -> bytes."""
        for kept in itertools.product([True, False], repeat=len(self.pending)):
            names = self.safe
            for change in itertools.compress(self.pending, kept):
                names = applied(names, change)
            yield {name: inode.seen for name, inode in names.items()}
            yield {name: inode.safe for name, inode in names.items()}


def applied(names: dict[str, Inode], change: dict[str, Inode | None]) -> dict[str, Inode]:
    return {name: inode for name, inode in {**names, **change}.items() if inode is not None}


class Recorder:
    """Watches a folder through the calls of `os`, and keeps every state that a power cut could leave behind."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._files, self._folders = folder, {}, set()
        present = {path.name: Inode(path.read_bytes(), path.read_bytes()) for path in folder.iterdir()}
        self._disk = Disk(present, present)
        self.states: list[dict[str, bytes]] = []
        self.steps: list[str] = []
        for name in ("open", "write", "fsync", "close", "replace", "unlink"):
            patch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name, call):
        def watched(*arguments, **options):
            result = call(*arguments, **options)
            getattr(self, f"_{name}")(result, *arguments)
            return result

        return watched

    def _keep(self, step: str) -> None:
        self.steps.append(step)
        self.states += [state for state in self.last if state not in self.states]

    @property
    def last(self) -> list[dict[str, bytes]]:
        """Return the states that a power cut could leave behind from now on."""
        return list(self._disk.states())

    def _open(self, descriptor, path, flags, *_):
        path = Path(path)
        if path == self._folder:
            self._folders.add(descriptor)
        elif path.parent == self._folder and flags & os.O_CREAT:
            if path.name not in self._disk.seen:
                self._disk.change({path.name: Inode()})
            inode = self._disk.seen[path.name]
            inode.seen = b""
            self._files[descriptor] = inode
            self._keep(f"open {path.name}")

    def _write(self, count, descriptor, data):
        if inode := self._files.get(descriptor):
            before, written = inode.seen, bytes(data)[:count]
            for part in (written[: count // 2], written):
                inode.seen = before + part
                self._keep("write")

    def _fsync(self, _, descriptor):
        if inode := self._files.get(descriptor):
            inode.safe = inode.seen
            self._keep("sync file")
        elif descriptor in self._folders:
            self._disk.sync()
            self._keep("sync folder")

    def _close(self, _, descriptor):
        self._files.pop(descriptor, None)
        self._folders.discard(descriptor)

    def _replace(self, _, source, target):
        if Path(target).parent == self._folder:
            self._disk.change({Path(target).name: self._disk.seen[Path(source).name], Path(source).name: None})
            self._keep("rename")

    def _unlink(self, _, path, **options):
        if Path(path).parent == self._folder:
            self._disk.change({Path(path).name: None})
            self._keep("unlink")


def bring_back(state: dict[str, bytes], folder: Path) -> Path:
    """Write a folder as the power cut left it."""
    folder.mkdir()
    for name, data in state.items():
        (folder / name).write_bytes(data)
    return folder
