"""``threat-scorer verify | trust | install | slots | rollback | wipe``: the commands that a technician gives."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from threat_scorer.bundle import signed
from threat_scorer.bundle import trust as trusts
from threat_scorer.bundle.manifest import Manifest
from threat_scorer.bundle.signed import Requirements
from threat_scorer.device import provisioning, slots
from threat_scorer.device import state as device_state
from threat_scorer.device.slots import Loaded
from threat_scorer.errors import BundleError

DONE, FELL_BACK = 0, 1


def add_to(commands: Any) -> None:
    """Add the arguments of `COMMANDS` to those of ``threat-scorer``."""
    verify = commands.add_parser("verify", help="may this bundle be loaded here and now? nothing is installed")
    verify.add_argument("file", type=Path)
    keys = verify.add_mutually_exclusive_group(required=True)
    keys.add_argument("--trust", type=Path, metavar="FILE", help="trust file with the keys to believe")
    keys.add_argument("--state", type=Path, metavar="DIR", help="believe and compare with what this device holds")
    verify.add_argument("--as", dest="partner", metavar="PARTNER", help="whose device it is (with --trust)")

    trust = _of_state(commands, "trust", "give the device its first trust file, or a newer one")
    trust.add_argument("file", type=Path)
    trust.add_argument("--as", dest="partner", metavar="PARTNER", help="whose device it is: set once, the first time")
    install = _of_state(commands, "install", "put a bundle into the spare slot, test it, switch to it")
    install.add_argument("file", type=Path)
    _of_state(commands, "slots", "show what the device holds, and whether it may be used")
    _of_state(commands, "rollback", "switch to the bundle in the other slot")
    wipe = _of_state(commands, "wipe", "remove everything from the state folder")
    wipe.add_argument("--yes", action="store_true", required=True, help="there is no way back")


def _of_state(commands: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=purpose)
    command.add_argument("--state", required=True, type=Path, metavar="DIR", help="state folder of the device")
    return command


def _verify(options: argparse.Namespace) -> int:
    now = _now()
    if options.state:
        if options.partner:
            raise BundleError("--as: the state folder says whose device it is; expected --as with --trust alone")
        state, trust = device_state.read(options.state), provisioning.read_trust(options.state)
        requirements = Requirements(state.no_earlier(now), state.partner, state.highest_counter)
    else:
        trust = trusts.read(device_state.read_bytes(options.trust), f"{options.trust}")
        requirements = Requirements(now, options.partner)
    bundle = signed.read(options.file, trust, requirements)
    slots.tested(bundle)
    print("\n".join(_summary(bundle.manifest)))
    print("good: signature, digests, validity, marking and golden rows")
    return DONE


def _trust(options: argparse.Namespace) -> int:
    trust = provisioning.provision(options.state, options.file, partner=options.partner, now=_now())
    print(f"trust file {trust.counter} adopted; compare the keys with those that headquarters gave you in another way:")
    for key in trust.keys:
        print(f"  {'revoked' if key.revoked else 'trusted'} {key.role:<6} {key.id}")
    for slot, content in slots.status(options.state, now=_now()).slots.items():
        if isinstance(content, BundleError):
            print(f"slot {slot} can no longer be used: {content}")
    return DONE


def _install(options: argparse.Namespace) -> int:
    return _switched(slots.install(options.state, options.file, now=_now()))


def _roll_back(options: argparse.Namespace) -> int:
    return _switched(slots.roll_back(options.state, now=_now()))


def _switched(loaded: Loaded) -> int:
    print("\n".join(_summary(loaded.manifest)))
    print(f"tested, and active from the next start: slot {loaded.slot}")
    return DONE


def _slots(options: argparse.Namespace) -> int:
    device = slots.status(options.state, now=_now())
    state = device.state
    print(f"device of {state.partner or 'no partner'}; trust file {device.trust.counter}; highest counter", end=" ")
    print(f"{state.highest_counter}; clock at {device.now:%Y-%m-%d %H:%M} UTC")
    for slot, content in device.slots.items():
        role = "active" if slot == state.active else "spare"
        lines = [f"{content}"] if isinstance(content, BundleError) else _summary(content)
        print(f"slot {slot}, {role}: " + "\n  ".join(lines))
    loaded = slots.load(options.state, now=_now())
    print(f"{loaded.scorer.bundle} loads, from slot {loaded.slot}")
    if loaded.fell_back:
        print(f"FELL BACK: {loaded.fell_back}")
    return FELL_BACK if loaded.fell_back else DONE


def _wipe(options: argparse.Namespace) -> int:
    for name in provisioning.wipe(options.state):
        print(f"removed {name}")
    return DONE


def _summary(manifest: Manifest) -> list[str]:
    release = manifest.release
    lines = [
        f"{release.name} {release.version}, counter {release.counter}",
        f"valid {release.not_before} to {release.expires}, for {' '.join(release.recipients)}",
        f"marking {release.marking.originator}, TLP:{release.marking.tlp}",
        f"holds {', '.join(manifest.digests)}",
    ]
    if release.prior:
        lines.append(
            f"area prior for {release.prior.cutoff} to {release.prior.until}, H3 at {release.prior.resolution}"
        )
    if release.simulated:
        lines.append("SIMULATED: learnt from a simulated theatre; its scores mean nothing for a real one")
    return lines


def _now() -> datetime:
    return datetime.now(UTC)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "verify": _verify,
    "trust": _trust,
    "install": _install,
    "slots": _slots,
    "rollback": _roll_back,
    "wipe": _wipe,
}
"""Each returns the exit status."""
