"""Ed25519 keys in PEM files, or behind a command -> signatures of envelopes."""

import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pipeline.runtime.errors import StageError
from threat_scorer.bundle import dsse
from threat_scorer.bundle.dsse import Envelope, Signature

SIGNER_SECONDS = 300
"""How long an external signer may take: a person may have to touch a token."""


@dataclass(frozen=True)
class Signer:
    """Something that signs with one Ed25519 key."""

    public_key: bytes
    """Raw, 32 bytes."""
    sign: Callable[[bytes], bytes]


def generate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a new key pair as ``<name>.key``, for its owner's eyes only, and ``<name>.pub``.

    Raises
    ------
    StageError
        The folder lies inside a project, where a private key could be committed or cached; or a key has that name.
    """
    if Path(name).name != name:
        raise StageError(f"--name {name!r}; expected a name of a file, without a folder")
    place = folder.resolve()
    for parent in (place, *place.parents):
        if (parent / ".git").exists() or (parent / ".dvc").exists():
            raise StageError(
                f"{folder}: lies inside the project {parent}; expected a folder outside any: keys stay out"
            )
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = place / f"{name}.key", place / f"{name}.pub"
    for path, data, mode in ((paths[0], private, 0o600), (paths[1], public, 0o644)):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise StageError(f"{path}: is there already; expected a new name: a key is never written over") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    return paths


def read_public(path: Path) -> bytes:
    """Read a PEM file with an Ed25519 public key; return the raw key, 32 bytes."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StageError(f"{path}: no public key in PEM: {_reason(error)}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise StageError(f"{path}: got a {type(key).__name__}; expected Ed25519")
    return key.public_bytes_raw()


def signer_of_file(path: Path) -> Signer:
    """Return the signer that uses the private key in a PEM file."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise StageError(f"{path}: no private key in PEM without a password: {_reason(error)}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StageError(f"{path}: got a {type(key).__name__}; expected Ed25519")
    return Signer(key.public_key().public_bytes_raw(), key.sign)


def signer_of_command(command: str, public: Path) -> Signer:
    """Return the signer that runs a command, so that the key may stay in a token or on another machine.

    The command gets the bytes to sign on stdin, and writes the raw signature, 64 bytes, on stdout.
    """
    public_key = read_public(public)

    def sign(message: bytes) -> bytes:
        try:
            done = subprocess.run(
                shlex.split(command), input=message, capture_output=True, check=False, timeout=SIGNER_SECONDS
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise StageError(f"signer {command!r}: {_reason(error)}") from None
        if done.returncode:
            details = done.stderr.decode(errors="replace").strip()[-500:]
            raise StageError(f"signer {command!r}: ended with status {done.returncode}: {details}")
        return done.stdout

    return Signer(public_key, sign)


def sign(payload_type: str, payload: bytes, signers: list[Signer]) -> Envelope:
    """Return the payload in an envelope that every signer signed.

    Parameters
    ----------
    payload_type, payload
        What the bytes are, and the bytes.
    signers
        Each adds one signature, in this order.

    Raises
    ------
    StageError
        A signer gave something that is no signature of the payload under its public key.
    """
    message = dsse.pre_authentication_encoding(payload_type, payload)
    envelope = Envelope(payload_type, payload, ())
    for signer in signers:
        signature, keyid = signer.sign(message), dsse.key_id(signer.public_key)
        if not dsse.is_signature(signature, message, public_key=signer.public_key):
            raise StageError(
                f"signer: got {len(signature)} bytes that are no signature under key {keyid[:16]}; "
                f"expected {dsse.SIGNATURE_BYTES} bytes, the raw Ed25519 signature of what it is given"
            )
        envelope = envelope.with_signature(Signature(keyid, signature))
    return envelope


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
