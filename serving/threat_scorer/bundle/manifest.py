"""A bundle's manifest <-> an in-toto statement: digests of all members, recipients and validity."""

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from threat_scorer.marking import EVERYONE, TLP, Marking
from threat_scorer.parsing import strict_json
from threat_scorer.parsing.typed_fields import FieldError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:threat-scorer:bundle:1"

LARGEST_COUNTER = 2**53
MOST_MEMBERS = 64
MEMBER_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,50}(\.[a-z0-9]{1,8}){1,2}", re.ASCII)
RELEASE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}", re.ASCII)
RELEASE_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,40}", re.ASCII)
_CODES = "codes of 1 to 200 printable characters without a blank"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class ManifestError(ValueError):
    """A manifest that cannot be kept; the message names the field, what was got and expected."""


@dataclass(frozen=True)
class PriorTerms:
    """The period and the cells of the area prior."""

    cutoff: str
    """UTC; rows known by then went in."""
    until: str
    """UTC; the end of its period."""
    resolution: int
    """Of its H3 cells, 0 to 15."""


@dataclass(frozen=True)
class Release:
    """The terms on which headquarters signed."""

    name: str
    version: str
    counter: int
    """Counts up with every release; a device never goes back."""
    dataset: str
    simulated: bool
    not_before: str
    """UTC, ``2026-01-31T00:00:00Z``."""
    expires: str
    """UTC; from this moment on it is not loaded."""
    recipients: tuple[str, ...]
    """Partner codes that may load it, or ``ALL``."""
    marking: Marking
    """The most restrictive marking of the models inside."""
    prior: PriorTerms | None
    """None where there is no area prior inside."""

    @property
    def starts_at(self) -> datetime:
        """`not_before`, as a time."""
        return read_time(self.not_before, "not_before")

    @property
    def ends_at(self) -> datetime:
        """`expires`, as a time."""
        return read_time(self.expires, "expires")

    def is_for(self, partner: str | None) -> bool:
        """Return whether a partner may load it; None stands for a device that belongs to nobody."""
        return EVERYONE in self.recipients or partner in self.recipients


@dataclass(frozen=True)
class Manifest:
    """A release and the SHA-256, in hex, of every other member by its name, in the order of the names."""

    release: Release
    digests: dict[str, str]

    def to_json(self) -> bytes:
        """Return the in-toto statement to sign, the same bytes for the same manifest."""
        statement = _Statement(
            STATEMENT_TYPE,
            tuple(_Subject(name, {"sha256": digest}) for name, digest in sorted(self.digests.items())),
            PREDICATE_TYPE,
            self.release,
        )
        return json.dumps(dataclasses.asdict(statement), sort_keys=True).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Read a manifest.

        Raises
        ------
        ManifestError
            Not a statement of this version, or a field has a value that it cannot have; the message names it.
        """
        try:
            statement = strict_json.read(_Statement, data, "manifest")
        except FieldError as error:
            raise ManifestError(f"{error}") from None
        _expect(statement._type == STATEMENT_TYPE, "_type", statement._type, STATEMENT_TYPE)
        _expect(statement.predicateType == PREDICATE_TYPE, "predicateType", statement.predicateType, PREDICATE_TYPE)
        names = [subject.name for subject in statement.subject]
        _expect(names == sorted(set(names)), "subject", names, "names in order, each once")
        _expect(0 < len(names) <= MOST_MEMBERS, "subject", len(names), f"1 to {MOST_MEMBERS} members")
        for subject in statement.subject:
            _expect(MEMBER_NAME.fullmatch(subject.name), "subject name", subject.name, MEMBER_NAME.pattern)
            digest = subject.digest.get("sha256", "")
            is_sha256 = re.fullmatch("[0-9a-f]{64}", digest) and len(subject.digest) == 1
            _expect(is_sha256, f"digest of {subject.name}", subject.digest, "one sha256, 64 hex digits")
        _check(statement.predicate)
        return cls(statement.predicate, {subject.name: subject.digest["sha256"] for subject in statement.subject})

    @property
    def digest(self) -> str:
        """SHA-256 in hex of the statement: one release, one digest."""
        return hashlib.sha256(self.to_json()).hexdigest()


def _check(release: Release) -> None:
    """Raise `ManifestError` unless every field has a value that it can have."""
    _expect(RELEASE_NAME.fullmatch(release.name), "name", release.name, RELEASE_NAME.pattern)
    _expect(RELEASE_VERSION.fullmatch(release.version), "version", release.version, RELEASE_VERSION.pattern)
    _expect(0 < release.counter <= LARGEST_COUNTER, "counter", release.counter, f"1 to {LARGEST_COUNTER}")
    _expect(release.starts_at < release.ends_at, "expires", release.expires, f"later than {release.not_before}")
    _expect(release.marking.tlp in TLP, "marking tlp", release.marking.tlp, f"one of {', '.join(TLP)}")
    _expect(release.recipients and all(map(_is_code, release.recipients)), "recipients", release.recipients, _CODES)
    _expect(_is_code(release.marking.originator), "marking originator", release.marking.originator, _CODES)
    if release.prior:
        cutoff, until = read_time(release.prior.cutoff, "prior cutoff"), read_time(release.prior.until, "prior until")
        _expect(cutoff <= until, "prior until", release.prior.until, f"no earlier than {release.prior.cutoff}")
        _expect(0 <= release.prior.resolution <= 15, "prior resolution", release.prior.resolution, "0 to 15")


def read_time(text: str, field: str) -> datetime:
    """Read a UTC time as a manifest writes it.

    Examples
    --------
    >>> read_time("2026-01-31T00:00:00Z", "expires")
    datetime.datetime(2026, 1, 31, 0, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        time = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise ManifestError(f"manifest {field}: got {text[:80]!r}; expected UTC as 2026-01-31T00:00:00Z") from None
    _expect(write_time(time) == text, field, text, "UTC as 2026-01-31T00:00:00Z")
    return time


def write_time(time: datetime) -> str:
    """Write a UTC time as in a manifest, to the second."""
    return time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


@dataclass(frozen=True)
class _Subject:
    name: str
    digest: dict[str, str]


@dataclass(frozen=True)
class _Statement:
    """An in-toto Statement v1, named as the specification names it."""

    _type: str
    subject: tuple[_Subject, ...]
    predicateType: str
    predicate: Release


def _is_code(text: str) -> bool:
    return 0 < len(text) <= 200 and text.isprintable() and " " not in text


def _expect(condition: object, field: str, got: object, expected: str) -> None:
    if not condition:
        raise ManifestError(f"manifest {field}: got {repr(got)[:80]}; expected {expected}")
