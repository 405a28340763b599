"""A reviewer's name -> the Ed25519 key that signs: its private half outside the project, its public half inside."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pipeline.runtime.errors import StageError

PUBLIC_KEYS = Path("approvals/keys")
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def private_keys() -> Path:
    """Return the folder of private keys: ``CIED_REVIEW_KEYS``, else one below the home."""
    return Path(os.environ.get("CIED_REVIEW_KEYS") or Path.home() / ".config/cied-pipeline/review-keys")


def make_key(name: str) -> Path:
    """Make a reviewer's key pair; return where the public half is, for the project to keep.

    Raises
    ------
    StageError
        The name is not plain, is taken, or the private half would lie inside the project.
    """
    if not NAME.fullmatch(name):
        raise StageError(f"reviewer's name: got {name!r}; expected lower-case letters, digits, '.', '_' or '-'")
    folder = private_keys()
    if folder.resolve().is_relative_to(Path.cwd()):
        raise StageError(f"CIED_REVIEW_KEYS: got {folder}, inside the project; expected a folder outside of it")
    private, public = folder / f"{name}.pem", PUBLIC_KEYS / f"{name}.pem"
    for file in (private, public):
        if file.exists():
            raise StageError(f"{file}: there is a key of that name already; expected a new name")
    key = Ed25519PrivateKey.generate()
    for file in (private, public):
        file.parent.mkdir(parents=True, exist_ok=True)
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(name: str, message: bytes) -> bytes:
    """Return a reviewer's signature, 64 bytes.

    Raises
    ------
    StageError
        The reviewer has no private key here, or one that is not the public one's other half.
    """
    file = private_keys() / f"{name}.pem"
    if not file.exists():
        raise StageError(f"{file}: no such key; expected one made by `python -m pipeline.review key {name}`")
    key = load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise StageError(f"{file}: got another kind of key; expected Ed25519")
    signature = key.sign(message)
    if not verified(trusted_keys(), name, message, signature):
        raise StageError(f"{file}: is not the other half of {PUBLIC_KEYS / f'{name}.pem'}; expected the key of {name}")
    return signature


def trusted_keys() -> dict[str, Ed25519PublicKey]:
    """Return the public keys that the project keeps, by reviewer.

    Raises
    ------
    StageError
        A file is no Ed25519 public key.
    """
    keys = {}
    for file in sorted(PUBLIC_KEYS.glob("*.pem")):
        try:
            key = load_pem_public_key(file.read_bytes())
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise StageError(f"{file}: not an Ed25519 public key; expected PEM")
        keys[file.stem] = key
    return keys


def verified(keys: Mapping[str, Ed25519PublicKey], name: str, message: bytes, signature: bytes) -> bool:
    """Return whether the signature is that reviewer's.

    Parameters
    ----------
    keys
        Public keys, by reviewer.
    name
        Of the reviewer; one without a key has signed nothing.
    message, signature
        The signed bytes, and 64 bytes.
    """
    if name not in keys:
        return False
    try:
        keys[name].verify(signature, message)
    except InvalidSignature:
        return False
    return True
