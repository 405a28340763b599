"""DSSE envelopes (Dead Simple Signing Envelope 1.0.2): bytes and who signed them, with Ed25519 signatures.

A signature covers the payload's type and its bytes, never a re-encoding of them: a reader parses the signed bytes.
This reader is stricter than the specification: no unknown field, and a key id on every signature.
"""

import base64
import binascii
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from threat_scorer.parsing import strict_json
from threat_scorer.parsing.typed_fields import FieldError

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
LARGEST_ENVELOPE_BYTES = 2**18
MOST_SIGNATURES = 8


class EnvelopeError(ValueError):
    """Bytes that are no envelope; the message names what was got and expected."""


@dataclass(frozen=True)
class Signature:
    """One signature, and the key that it names."""

    keyid: str
    sig: bytes


@dataclass(frozen=True)
class Envelope:
    """Signed bytes; nothing here is to be believed before `signed_by` names the keys that signed."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def to_json(self) -> bytes:
        """Return the envelope as it stands in a file."""
        value = {
            "payload": _to_base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": s.keyid, "sig": _to_base64(s.sig)} for s in self.signatures],
        }
        return json.dumps(value, sort_keys=True).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> "Envelope":
        """Read an envelope.

        Raises
        ------
        EnvelopeError
            Over `LARGEST_ENVELOPE_BYTES`, over `MOST_SIGNATURES`, or not an envelope.
        """
        if len(data) > LARGEST_ENVELOPE_BYTES:
            raise EnvelopeError(f"envelope: {len(data)} bytes; expected at most {LARGEST_ENVELOPE_BYTES}")
        try:
            written = strict_json.read(_Written, data, "envelope")
        except FieldError as error:
            raise EnvelopeError(f"{error}") from None
        if len(written.signatures) > MOST_SIGNATURES:
            raise EnvelopeError(f"envelope: {len(written.signatures)} signatures; expected at most {MOST_SIGNATURES}")
        return cls(
            written.payloadType,
            _from_base64(written.payload, "payload"),
            tuple(Signature(s.keyid, _from_base64(s.sig, "sig")) for s in written.signatures),
        )

    def signed_by(self, keys: Mapping[str, bytes]) -> frozenset[str]:
        """Return the ids of those `keys` (raw Ed25519 public keys by their id) that signed it."""
        message = pre_authentication_encoding(self.payload_type, self.payload)
        return frozenset(
            signature.keyid
            for signature in self.signatures
            if signature.keyid in keys and is_signature(signature.sig, message, public_key=keys[signature.keyid])
        )

    def with_signature(self, signature: Signature) -> "Envelope":
        """Return the envelope with one more signature."""
        return dataclasses.replace(self, signatures=(*self.signatures, signature))


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    r"""Return the bytes that a signature covers (DSSE protocol, "PAE").

    Examples
    --------
    >>> pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode("utf-8", "surrogatepass")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def is_signature(signature: bytes, message: bytes, *, public_key: bytes) -> bool:
    """Return whether a signature is valid.

    Parameters
    ----------
    signature
        Any bytes.
    message
        The bytes that were signed.
    public_key
        A raw Ed25519 public key, 32 bytes.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id(public_key: bytes) -> str:
    """Return the id of a raw Ed25519 public key: its SHA-256 in hex."""
    return hashlib.sha256(public_key).hexdigest()


@dataclass(frozen=True)
class _WrittenSignature:
    keyid: str
    sig: str


@dataclass(frozen=True)
class _Written:
    """The envelope's JSON, named as the specification names it."""

    payload: str
    payloadType: str
    signatures: tuple[_WrittenSignature, ...]


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError(f"envelope: {field} is not base64") from None
