"""A signed bundle's file -> the terms of its release. Whether the signature is good, `threat-scorer verify` tells."""

from pathlib import Path

from pipeline.runtime.errors import StageError
from threat_scorer.bundle import archive, dsse, signed
from threat_scorer.bundle.archive import ArchiveError
from threat_scorer.bundle.dsse import Envelope, EnvelopeError
from threat_scorer.bundle.manifest import Manifest, ManifestError, Release


def release_of(path: Path) -> Release:
    """Return the terms on which a bundle was signed.

    Raises
    ------
    StageError
        The file cannot be read, or is no signed bundle.
    """
    try:
        with path.open("rb") as file:
            first = next(archive.members(file, path.stat().st_size), None)
            if first is None or first.name != signed.MANIFEST or first.size > dsse.LARGEST_ENVELOPE_BYTES:
                raise StageError(f"{path}: got another file; expected a bundle that `pipeline.sign bundle` wrote")
            envelope = Envelope.from_json(b"".join(archive.chunks(file, first)))
        return Manifest.from_json(envelope.payload).release
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ArchiveError, EnvelopeError, ManifestError) as error:
        raise StageError(f"{path}: no signed bundle: {error}") from None
