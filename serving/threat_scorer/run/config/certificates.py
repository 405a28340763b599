"""The table ``tls`` of an input, an output or the HTTP port: which certificates it uses."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Certificates, as PEM files: a peer has to show one as we do."""

    ca: Path
    """Authorities that sign for our peers, and no others: the system's own are not used."""
    certificate: Path
    """Ours, followed by those between it and its authority."""
    key: Path
    """Our private key, not encrypted, readable by its owner alone."""
