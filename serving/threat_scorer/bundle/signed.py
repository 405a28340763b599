"""A signed bundle's file -> its members, if the device may load it now; a refusal names the broken rule.

Before it checks the signature, it reads one header of 512 bytes and the envelope, nothing else. The signed manifest
then lists the members and their digests.
"""

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from threat_scorer.bundle import archive, dsse
from threat_scorer.bundle.archive import ArchiveError, Member
from threat_scorer.bundle.dsse import Envelope, EnvelopeError
from threat_scorer.bundle.folder import LARGEST_FILE_BYTES, BundleFiles
from threat_scorer.bundle.manifest import PAYLOAD_TYPE, Manifest, ManifestError, PriorTerms, write_time
from threat_scorer.bundle.prior import CELLS, LOG_ODDS, Prior, PriorError
from threat_scorer.bundle.trust import Trust
from threat_scorer.errors import BundleError, Refused

MANIFEST = "manifest.dsse.json"
"""The first member: a DSSE envelope around the manifest."""


@dataclass(frozen=True)
class Requirements:
    """A device's requirements of a bundle, beside a good signature."""

    now: datetime
    partner: str | None
    """Code of the partner that the device belongs to; None where it belongs to nobody."""
    least_counter: int = 0


@dataclass(frozen=True)
class SignedBundle:
    """A bundle whose signature, terms and digests have been checked."""

    manifest: Manifest
    files: BundleFiles


def read(path: Path, trust: Trust, requirements: Requirements) -> SignedBundle:
    """Read a signed bundle.

    Parameters
    ----------
    path
        The bundle's file.
    trust
        The keys to believe.
    requirements
        Of the device.

    Raises
    ------
    Refused
        It may not be loaded; `reason` gives the cause in one word.
    BundleError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path, trust, requirements)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


def _read(file: BinaryIO, path: Path, trust: Trust, requirements: Requirements) -> SignedBundle:
    entries = archive.members(file, os.fstat(file.fileno()).st_size)
    places: dict[str, Member] = {}
    content: dict[str, bytes] = {}
    try:
        manifest = _manifest(file, next(entries, None), path, trust)
        check_release(manifest, requirements, path)
        for name, digest in manifest.digests.items():
            places[name] = _expected(next(entries, None), name, path)
            content[name] = _content(file, places[name], digest, path)
        if extra := next(entries, None):
            raise Refused("altered", f"{path}: {extra.name!r} is not in its manifest")
    except ArchiveError as error:
        raise Refused("malformed", f"{path}: {error}") from None
    models = {name.removesuffix(".onnx"): data for name, data in content.items() if name.endswith(".onnx")}
    if not models:
        raise Refused("malformed", f"{path}: no model; expected one .onnx member or more")
    prior = _prior(file, places, manifest.release.prior, path)
    return SignedBundle(manifest, BundleFiles(path, models, manifest.release, prior))


def check_release(manifest: Manifest, requirements: Requirements, path: Path) -> None:
    """Check a release against the requirements of the device.

    Parameters
    ----------
    manifest
        Signed.
    requirements
        Of the device.
    path
        Names the bundle in messages.

    Raises
    ------
    Refused
        ``older``, ``not-for-us``, ``not-yet-valid`` or ``expired``.
    """
    release = manifest.release
    if release.counter < requirements.least_counter:
        raise Refused("older", f"{path}: counter {release.counter}; expected {requirements.least_counter} or higher")
    if not release.is_for(requirements.partner):
        us = requirements.partner or "a device of no partner"
        raise Refused("not-for-us", f"{path}: marked for {' '.join(release.recipients)}; this is {us}")
    if requirements.now < release.starts_at:
        now = write_time(requirements.now)
        raise Refused("not-yet-valid", f"{path}: valid from {release.not_before}; the clock says {now}")
    if requirements.now >= release.ends_at:
        raise Refused("expired", f"{path}: expired at {release.expires}; the clock says {write_time(requirements.now)}")


def _manifest(file: BinaryIO, first: Member | None, path: Path, trust: Trust) -> Manifest:
    if first is None or first.name != MANIFEST:
        got = first.name if first else "nothing"
        raise Refused("unsigned", f"{path}: its first member is {got}; expected {MANIFEST}")
    if first.size > dsse.LARGEST_ENVELOPE_BYTES:
        raise Refused("malformed", f"{path}: {MANIFEST}: {first.size} bytes; at most {dsse.LARGEST_ENVELOPE_BYTES}")
    try:
        envelope = Envelope.from_json(b"".join(archive.chunks(file, first)))
    except EnvelopeError as error:
        raise Refused("malformed", f"{path}: {MANIFEST}: {error}") from None
    trust.require_signature(envelope, "bundle", f"{path}")
    try:
        if envelope.payload_type != PAYLOAD_TYPE:
            raise ManifestError(f"payload type {envelope.payload_type[:80]!r}; expected {PAYLOAD_TYPE!r}")
        return Manifest.from_json(envelope.payload)
    except ManifestError as error:
        raise Refused("malformed", f"{path}: {MANIFEST}: {error}") from None


def _expected(member: Member | None, name: str, path: Path) -> Member:
    """Return the member that stands here, if it is the one that must."""
    if member is None or member.name != name:
        raise Refused("altered", f"{path}: got {member.name if member else 'the end'!r}; its manifest says {name}")
    if member.size > LARGEST_FILE_BYTES:
        raise Refused("malformed", f"{path}: {name}: {member.size} bytes; expected at most {LARGEST_FILE_BYTES}")
    return member


def _content(file: BinaryIO, member: Member, digest: str, path: Path) -> bytes:
    """Return the bytes of a member, if they have the digest that the manifest lists."""
    data = b"".join(archive.chunks(file, member))
    if (got := hashlib.sha256(data).hexdigest()) != digest:
        raise Refused("altered", f"{path}: {member.name}: sha256 {got}; its manifest says {digest}")
    return data


def _prior(file: BinaryIO, places: dict[str, Member], terms: PriorTerms | None, path: Path) -> Prior | None:
    if terms is None:
        return None
    try:
        return Prior.mapped(file, places[CELLS], places[LOG_ODDS], terms)
    except KeyError as absent:
        raise Refused("malformed", f"{path}: a prior without {absent}") from None
    except PriorError as error:
        raise Refused("malformed", f"{path}: {error}") from None
