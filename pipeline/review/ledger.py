"""Decisions <-> an append-only JSON Lines file; each line is signed and names the digest of the line before.

A changed, moved or removed line breaks the chain at the next one. The last lines could be cut off unseen.
A second place (MLflow) therefore keeps each decision's number and digest as an `Anchor`, which the file must match.
"""

import dataclasses
import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.review import reviewers
from pipeline.runtime.errors import StageError
from pipeline.storage import store

LEDGER = Path("approvals/ledger.jsonl")
FIRST = "sha256:" + "0" * 64
"""The digest that the first line names as the one before it."""

Action = Literal["promote", "override", "rollback"]


class LedgerError(StageError):
    """The ledger is not what its reviewers signed; the message names the line."""


@dataclass(frozen=True)
class Decision:
    """Who put which model into the field, when, instead of what, on which evidence."""

    at: str
    """UTC, ISO 8601, to the second."""
    action: Action
    by: str
    reason: str | None
    dataset: str
    model: str
    model_digest: str
    onnx_digest: str
    replaces: str | None
    """Digest of the model that was in the field until then."""
    verdict: Sequence[Mapping[str, Any]]
    """The gate's findings, rule by rule."""
    evidence: Mapping[str, str]
    """Digest of each file that the verdict rests on."""
    git_commit: str | None

    @property
    def moment(self) -> datetime:
        """When the reviewer decided."""
        return datetime.fromisoformat(self.at)


@dataclass(frozen=True)
class Entry:
    """A decision at its place in the ledger."""

    number: int
    """From 1."""
    decision: Decision
    digest: str
    """Of the whole line."""


@dataclass(frozen=True)
class Anchor:
    """Another place's record of the ledger: its entry of that number had that digest."""

    number: int
    digest: str
    where: str


def append(decision: Decision, anchors: Iterable[Anchor] = (), path: Path = LEDGER) -> Entry:
    """Verify the ledger, sign the decision and add it; return its entry.

    Parameters
    ----------
    decision
        Its reviewer's key signs it.
    anchors, path
        As for `read`.

    Raises
    ------
    LedgerError
        The ledger does not verify, or its last decision is later than this one.
    StageError
        The reviewer has no key.
    """
    entries = read(anchors, path)
    if entries and entries[-1].decision.moment > decision.moment:
        last = entries[-1].decision.at
        raise LedgerError(f"{path}: the clock says {decision.at}, before the last decision; expected {last} or later")
    fields = {
        "number": len(entries) + 1,
        **dataclasses.asdict(decision),
        "previous": entries[-1].digest if entries else FIRST,
    }
    signature = reviewers.sign(decision.by, _canonical(fields))
    line = _canonical({**fields, "signature": b64encode(signature).decode()})
    before = path.read_bytes() if path.exists() else b""
    with store.replacing(path) as new:
        new.write_bytes(before + line + b"\n")
    return Entry(len(entries) + 1, decision, _digest(line))


def read(
    anchors: Iterable[Anchor] = (), path: Path = LEDGER, keys: Mapping[str, Ed25519PublicKey] | None = None
) -> list[Entry]:
    """Read and verify every line; no file is an empty ledger.

    Parameters
    ----------
    anchors
        Records of other places, which the file must match.
    path
        Of the file.
    keys
        By reviewer; by default those that the project keeps.

    Raises
    ------
    LedgerError
        A line was changed, moved, removed, or not signed by the reviewer whom it names.
    """
    trusted = reviewers.trusted_keys() if keys is None else keys
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        raise LedgerError(f"{path}: the last line has no end; expected whole lines")
    entries: list[Entry] = []
    for line in content.split(b"\n")[:-1]:
        entries.append(_verified(line, entries[-1] if entries else None, trusted, path))
    for anchor in anchors:
        got = entries[anchor.number - 1].digest if anchor.number <= len(entries) else "no such line"
        if got != anchor.digest:
            raise LedgerError(
                f"{path} line {anchor.number}: got {got}; expected {anchor.digest}, as {anchor.where} remembers"
            )
    return entries


def in_field(entries: Iterable[Entry], *, at: datetime | None = None) -> dict[tuple[str, str], Entry]:
    """Return by dataset and model the decision that put into the field what was there at an instant (default: now)."""
    return {
        (entry.decision.dataset, entry.decision.model): entry
        for entry in entries
        if at is None or entry.decision.moment <= at
    }


def now() -> str:
    """Return this second in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _verified(line: bytes, before: Entry | None, keys: Mapping[str, Ed25519PublicKey], path: Path) -> Entry:
    number = before.number + 1 if before else 1
    where = f"{path} line {number}"
    try:
        fields = json.loads(line)
        signature = b64decode(fields.pop("signature"), validate=True)
        signed = _canonical(fields)
        if _canonical({**fields, "signature": b64encode(signature).decode()}) != line:
            raise ValueError("spelled in another way")
        given, previous = fields.pop("number"), fields.pop("previous")
        decision = Decision(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(f"{where}: changed since it was written: {error}; expected a signed decision") from None
    if not reviewers.verified(keys, decision.by, signed, signature):
        raise LedgerError(f"{where}: the signature is not that of {decision.by!r}; expected what they signed")
    if given != number:
        raise LedgerError(f"{where}: is number {given}; expected {number}: a line was removed or moved")
    if previous != (expected := before.digest if before else FIRST):
        raise LedgerError(f"{where}: follows {previous}; expected {expected}: the line before was changed")
    if decision.action not in get_args(Action):
        raise LedgerError(f"{where}: action = {decision.action!r}; expected one of {', '.join(get_args(Action))}")
    return Entry(number, decision, _digest(line))


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _digest(line: bytes) -> str:
    return f"sha256:{hashlib.sha256(line).hexdigest()}"
