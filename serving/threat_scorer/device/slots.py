"""Two slots for bundles, one of them active: install, load, fall back, roll back. A power cut leaves one good slot.

`install` copies a bundle into the slot that is not in use, and tests it there. The replacement of one small file makes
it active. The bundle before stays in the other slot, to fall back on. Every load checks signature, terms, digests and
golden rows again.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from threat_scorer.bundle import archive, signed
from threat_scorer.bundle.manifest import Manifest
from threat_scorer.bundle.signed import Requirements, SignedBundle
from threat_scorer.bundle.trust import Trust
from threat_scorer.device import atomic_files
from threat_scorer.device import state as device_state
from threat_scorer.device.provisioning import locked, read_trust
from threat_scorer.device.state import Slot, State
from threat_scorer.errors import BundleError, Refused
from threat_scorer.scoring.scorer import Scorer

STARTS_ON_TRIAL = 3
"""How often an active bundle may be started without ever getting ready, before the other slot is used."""


@dataclass(frozen=True)
class Loaded:
    """A scorer, and the slot that it came from."""

    scorer: Scorer
    slot: Slot
    manifest: Manifest
    fell_back: str | None
    """Why the active slot was passed over; None where it was not."""


def install(folder: Path, file: Path, *, now: datetime) -> Loaded:
    """Install a bundle into the slot that is not in use, test it there, and make it active.

    Parameters
    ----------
    folder
        The state folder, as `provisioning.provision` made it.
    file
        The signed bundle.
    now
        UTC, by the device's clock.

    Raises
    ------
    Refused
        The bundle may not be loaded, is older than one that was installed here, or fails its test; nothing changed.
    BundleError
        A file cannot be read or written; nothing changed.
    """
    with locked(folder):
        state, trust = device_state.read(folder), read_trust(folder)
        requirements = Requirements(state.no_earlier(now), state.partner, least_counter=state.highest_counter)
        manifest = signed.read(file, trust, requirements).manifest
        if manifest.release.counter == state.highest_counter and manifest.digest not in state.slots.values():
            counter = state.highest_counter
            raise Refused("older", f"{file}: counter {counter}; expected over it: another bundle had it")
        try:
            in_use: str | None = _first_that_loads(folder, state, trust, requirements.now).slot
        except Refused:
            in_use = state.active
        spare: Slot = "b" if in_use == "a" else "a"
        new = folder / f"{spare}.bundle.new"
        try:
            atomic_files.write(new, _pieces(file))
            copied = signed.read(new, trust, requirements)
            if copied.manifest != manifest:
                raise Refused("altered", f"{file}: it changed while it was copied")
            scorer = tested(copied)
            atomic_files.rename(new, device_state.slot_file(folder, spare))
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        device_state.save(folder, state.with_active(spare, manifest, requirements.now))
        return Loaded(scorer, spare, manifest, None)


def load(folder: Path, *, now: datetime) -> Loaded:
    """Load the active bundle, or the one in the other slot where the active one cannot be used.

    Raises
    ------
    Refused
        Neither can be used; the message gives the cause of each.
    BundleError
        The folder is no device's state.
    """
    with locked(folder):
        state, trust = device_state.read(folder), read_trust(folder)
        if state.starts_on_trial is not None and not _failed_on_trial(state):
            _remember_starts(folder, state, state.starts_on_trial + 1)
        loaded = _first_that_loads(folder, state, trust, state.no_earlier(now))
        if state.starts_on_trial is not None and loaded.fell_back is None:
            _remember_starts(folder, state, None)
        return loaded


def open_bundle(folder: Path, *, now: datetime, warn: Callable[[str], object]) -> Scorer:
    """Return the scorer of a device's state folder, or of a folder of ONNX files that nobody signed.

    Parameters
    ----------
    folder
        Of either kind.
    now
        UTC, by the device's clock.
    warn
        Takes the reason, where the active bundle was passed over.

    Raises
    ------
    BundleError
        Neither kind of folder, or nothing in it can be used.
    """
    if not (folder / device_state.STATE).exists():
        return Scorer.load(folder)
    loaded = load(folder, now=now)
    if loaded.fell_back:
        warn(f"fell back to slot {loaded.slot}: {loaded.fell_back}")
    return loaded.scorer


def roll_back(folder: Path, *, now: datetime) -> Loaded:
    """Make the bundle in the slot that is not active the active one, if it can be used.

    Raises
    ------
    BundleError
        It cannot be used; nothing changed.
    """
    with locked(folder):
        state, trust = device_state.read(folder), read_trust(folder)
        now = state.no_earlier(now)
        others = [slot for slot in state.order if slot != state.active]
        if not others:
            raise Refused("nothing-installed", f"{folder}: no bundle beside the active one to go back to")
        bundle = _in_slot(folder, others[0], state, trust, now)
        loaded = Loaded(tested(bundle), others[0], bundle.manifest, None)
        device_state.save(folder, state.with_active(others[0], bundle.manifest, now))
        return loaded


def tested(bundle: SignedBundle) -> Scorer:
    """Return the scorer of a bundle, once its golden rows have come out right on this device.

    Raises
    ------
    Refused
        ``failed-test``: they do not, or a model does not load.
    """
    try:
        return Scorer.of(bundle.files)
    except BundleError as error:
        raise Refused("failed-test", f"{error}") from None


@dataclass(frozen=True)
class Status:
    """The state, the trust file and the bundles of a device."""

    state: State
    trust: Trust
    slots: dict[Slot, Manifest | BundleError]
    """For each slot in use, the active one first: its manifest, or the reason of its refusal."""
    now: datetime
    """The device's clock, or the latest time that is known to have been."""


def status(folder: Path, *, now: datetime) -> Status:
    """Return the status of a device; all is checked but the golden rows.

    Raises
    ------
    BundleError
        The folder is no device's state.
    """
    state, trust = device_state.read(folder), read_trust(folder)
    now = state.no_earlier(now)
    slots: dict[Slot, Manifest | BundleError] = {}
    for slot in state.order:
        try:
            slots[slot] = _in_slot(folder, slot, state, trust, now).manifest
        except BundleError as error:
            slots[slot] = error
    return Status(state, trust, slots, now)


def _first_that_loads(folder: Path, state: State, trust: Trust, now: datetime) -> Loaded:
    reasons: list[str] = []
    for slot in state.order:
        if slot == state.active and _failed_on_trial(state):
            reasons.append(f"slot {slot}: started {STARTS_ON_TRIAL} times without getting ready")
            continue
        try:
            bundle = _in_slot(folder, slot, state, trust, now)
            return Loaded(tested(bundle), slot, bundle.manifest, "; ".join(reasons) or None)
        except BundleError as error:
            reasons.append(f"slot {slot}: {error}")
    raise Refused("nothing-installed", f"{folder}: " + ("; ".join(reasons) or "no bundle was installed yet"))


def _remember_starts(folder: Path, state: State, starts: int | None) -> None:
    # a full disk, or one that can only be read, is no reason to refuse a bundle that loads
    with suppress(OSError):
        device_state.save(folder, replace(state, starts_on_trial=starts))


def _failed_on_trial(state: State) -> bool:
    return state.starts_on_trial is not None and state.starts_on_trial >= STARTS_ON_TRIAL


def _in_slot(folder: Path, slot: Slot, state: State, trust: Trust, now: datetime) -> SignedBundle:
    path = device_state.slot_file(folder, slot)
    bundle = signed.read(path, trust, Requirements(now, state.partner))
    if bundle.manifest.digest != state.slots[slot]:
        raise Refused("altered", f"{path}: it holds another bundle than was installed in this slot")
    return bundle


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(archive.CHUNK_BYTES):
            yield piece
