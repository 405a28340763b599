"""The trust file: which keys may sign bundles, and which may sign the next trust file. Rotation without a network.

It is a DSSE envelope, signed by a root key. A device adopts a file with a higher counter if an active root key of the
present one signed it. The Update Framework rotates its root metadata in the same way.
"""

import base64
import binascii
import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from threat_scorer.bundle.dsse import PUBLIC_KEY_BYTES, Envelope, EnvelopeError, key_id
from threat_scorer.bundle.manifest import LARGEST_COUNTER
from threat_scorer.errors import Refused
from threat_scorer.parsing import strict_json
from threat_scorer.parsing.typed_fields import FieldError

PAYLOAD_TYPE = "application/vnd.threat-scorer.trust+json"
VERSION = 1

Role = Literal["root", "bundle"]
ROLES: tuple[Role, ...] = ("root", "bundle")


@dataclass(frozen=True)
class Key:
    """One Ed25519 key."""

    public: str
    """The raw public key in base64."""
    role: str
    """``root``: signs trust files; ``bundle``: signs bundles."""
    revoked: bool
    """True once the key is lost or stolen: it is listed on, so that a refusal can say why."""

    @property
    def raw(self) -> bytes:
        """The raw public key, 32 bytes."""
        return base64.b64decode(self.public)

    @property
    def id(self) -> str:
        """SHA-256 of the raw key, in hex."""
        return key_id(self.raw)


@dataclass(frozen=True)
class Trust:
    """The content of a trust file, once its signatures have been checked."""

    version: int
    counter: int
    """Counts up with every trust file; a device never goes back."""
    keys: tuple[Key, ...]

    def to_json(self) -> bytes:
        """Return the payload to sign."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True).encode("ascii")

    def active(self, role: Role) -> dict[str, bytes]:
        """Return the raw public keys of a role that are not revoked, by id."""
        return {key.id: key.raw for key in self.keys if key.role == role and not key.revoked}

    def require_signature(self, envelope: Envelope, role: Role, where: str) -> None:
        """Refuse the envelope unless an active key of `role` signed it.

        Parameters
        ----------
        envelope
            Of a bundle's manifest, or of a trust file.
        role
            Role of the keys that may sign it.
        where
            Names the file in messages.

        Raises
        ------
        Refused
            ``unsigned``, ``unknown-key``, ``revoked-key`` or ``altered``.
        """
        if envelope.signed_by(self.active(role)):
            return
        if not envelope.signatures:
            raise Refused("unsigned", f"{where}: it carries no signature")
        named = [signature.keyid for signature in envelope.signatures]
        known = {key.id: key for key in self.keys}
        if any(keyid in self.active(role) for keyid in named):
            raise Refused("altered", f"{where}: its signature does not fit what it holds: altered since it was signed")
        if revoked := [keyid for keyid in named if keyid in known and known[keyid].revoked]:
            raise Refused("revoked-key", f"{where}: signed by key {revoked[0][:16]}, which is revoked")
        raise Refused(
            "unknown-key",
            f"{where}: signed by key {named[0][:16]!r}; expected one of {sorted(i[:16] for i in self.active(role))}, "
            f"the {role} keys of trust file {self.counter}",
        )


def read(data: bytes, where: str) -> Trust:
    """Read a trust file that must be signed by an active root key of its own.

    The caller decides whether to believe *that* root key: a technician at provisioning, `succeed` from then on.

    Raises
    ------
    Refused
        ``malformed``, or as `Trust.require_signature` says.
    """
    envelope, trust = _parse(data, where)
    trust.require_signature(envelope, "root", where)
    return trust


def succeed(current: Trust, data: bytes, where: str) -> Trust:
    """Return the trust file that takes the place of `current`.

    Parameters
    ----------
    current
        The trust file in use.
    data
        Bytes of the newer file.
    where
        Names the newer file in messages.

    Raises
    ------
    Refused
        As `read`; or not signed by an active root key of `current`; ``older`` if its counter is not higher.
    """
    envelope, _ = _parse(data, where)
    current.require_signature(envelope, "root", where)
    newer = read(data, where)
    if newer.counter <= current.counter:
        raise Refused("older", f"{where}: counter {newer.counter}; expected over {current.counter}, the one in use")
    return newer


def _parse(data: bytes, where: str) -> tuple[Envelope, Trust]:
    try:
        envelope = Envelope.from_json(data)
        if envelope.payload_type != PAYLOAD_TYPE:
            raise EnvelopeError(f"payload type {envelope.payload_type[:80]!r}; expected {PAYLOAD_TYPE!r}")
        trust = strict_json.read(Trust, envelope.payload, "trust")
        _check(trust)
    except (EnvelopeError, FieldError) as error:
        raise Refused("malformed", f"{where}: not a trust file: {error}") from None
    return envelope, trust


def _check(trust: Trust) -> None:
    if trust.version != VERSION:
        raise EnvelopeError(f"version {trust.version}; this scorer reads {VERSION}")
    if not 0 < trust.counter <= LARGEST_COUNTER:
        raise EnvelopeError(f"counter {trust.counter}; expected 1 to {LARGEST_COUNTER}")
    for key in trust.keys:
        if key.role not in ROLES:
            raise EnvelopeError(f"role {key.role[:80]!r}; expected one of {ROLES}")
        try:
            width = len(base64.b64decode(key.public, validate=True))
        except (binascii.Error, ValueError):
            raise EnvelopeError("a public key is not base64") from None
        if width != PUBLIC_KEY_BYTES:
            raise EnvelopeError(f"a public key of {width} bytes; expected {PUBLIC_KEY_BYTES}")
    if len({key.public for key in trust.keys}) != len(trust.keys):
        raise EnvelopeError("a key is listed twice")
