"""The state file of a device <-> a frozen dataclass: active slot, partner, highest counter and latest time."""

import dataclasses
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from threat_scorer.bundle.manifest import Manifest, ManifestError, read_time, write_time
from threat_scorer.device import atomic_files
from threat_scorer.errors import BundleError
from threat_scorer.parsing import strict_json
from threat_scorer.parsing.typed_fields import FieldError

STATE = "state.json"
TRUST = "trust.json"
VERSION = 1

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")

LARGEST_SMALL_FILE_BYTES = 2**18


@dataclass(frozen=True)
class State:
    """The record that a device keeps of its bundles."""

    version: int
    partner: str | None
    """Code of the partner that the device belongs to; None where it belongs to nobody."""
    active: str | None
    """The slot to load from; None before the first bundle."""
    slots: dict[str, str]
    """Digest of the manifest that was installed in each slot."""
    highest_counter: int
    """Of all bundles ever installed here; nothing below it is installed again."""
    latest_time: str
    """UTC; a time that is known to have been. A clock that shows an earlier time is wrong, as without a battery."""
    starts_on_trial: int | None
    """How often the active bundle was started without having got ready once; None once it has."""

    @classmethod
    def new(cls, partner: str | None, now: datetime) -> "State":
        """Return the state of a device without a bundle."""
        return cls(VERSION, partner, None, {}, 0, write_time(now), None)

    @property
    def order(self) -> tuple[Slot, ...]:
        """The slots with a bundle, the active one first."""
        return tuple(sorted((slot for slot in SLOTS if slot in self.slots), key=lambda slot: slot != self.active))

    def no_earlier(self, now: datetime) -> datetime:
        """Return `now`, or the latest time that is known to have been where that is later."""
        return max(now, read_time(self.latest_time, "latest_time"))

    def with_active(self, slot: Slot, manifest: Manifest, now: datetime) -> "State":
        """Return the state once a slot has a new bundle and is active, on trial.

        Parameters
        ----------
        slot
            It becomes the active one.
        manifest
            Of the bundle in it.
        now
            UTC, by the device's clock.
        """
        return replace(
            self,
            active=slot,
            slots={**self.slots, slot: manifest.digest},
            highest_counter=max(self.highest_counter, manifest.release.counter),
            latest_time=write_time(self.no_earlier(now)),
            starts_on_trial=0,
        )


def read(folder: Path) -> State:
    """Read the state of a device.

    Raises
    ------
    BundleError
        There is none, or the file is not what `save` writes.
    """
    path = folder / STATE
    if not path.exists():
        raise BundleError(f"{folder}: no {STATE}; expected a state folder made by `threat-scorer trust`")
    try:
        state = strict_json.read(State, read_bytes(path), "state")
        read_time(state.latest_time, "latest_time")
    except (FieldError, ManifestError) as error:
        raise BundleError(f"{path}: {error}") from None
    if state.version != VERSION or state.active not in (None, *SLOTS) or not state.slots.keys() <= set(SLOTS):
        raise BundleError(f"{path}: not a state of version {VERSION} with slots {SLOTS}: wipe it and provision again")
    return state


def save(folder: Path, state: State) -> None:
    """Replace the state of a device, in one step."""
    text = json.dumps(dataclasses.asdict(state), indent=2, sort_keys=True) + "\n"
    atomic_files.replace(folder / STATE, text.encode("ascii"))


def slot_file(folder: Path, slot: Slot) -> Path:
    """Return where the bundle of a slot lies."""
    return folder / f"{slot}.bundle"


def read_bytes(path: Path) -> bytes:
    """Read a small file whole.

    Raises
    ------
    BundleError
        It cannot be read, or is larger than `LARGEST_SMALL_FILE_BYTES`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_SMALL_FILE_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_SMALL_FILE_BYTES:
        raise BundleError(f"{path}: over {LARGEST_SMALL_FILE_BYTES} bytes")
    return data
