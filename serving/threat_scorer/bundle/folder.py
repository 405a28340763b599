"""A folder of ONNX files -> their bytes, read once, and the identity that every score carries.

Headquarters works with a folder, unsigned. One signed file goes to the field: see `signed`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from threat_scorer.bundle.manifest import Release
from threat_scorer.bundle.prior import Prior
from threat_scorer.errors import BundleError

LARGEST_FILE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class BundleFiles:
    """The files of a bundle."""

    where: Path
    """The folder, or the signed file, that they came from."""
    models: Mapping[str, bytes]
    """ONNX file by the model's name, in the order of the names."""
    release: Release | None = None
    """The terms in the signed manifest; None where nobody signed."""
    prior: Prior | None = None
    """None where there is none inside."""

    @property
    def digest(self) -> str:
        """SHA-256 in hex of the lines that ``sha256sum *.onnx`` prints in the folder."""
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}.onnx\n" for name, data in self.models.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_bundle(folder: Path) -> BundleFiles:
    """Read a bundle's files into memory, so that the device runs the bytes that it digested.

    Raises
    ------
    BundleError
        No such folder, no ONNX file in it, or a file that cannot be read.
    """
    if not folder.is_dir():
        instead = "a file" if folder.exists() else "no such folder"
        raise BundleError(
            f"{folder}: {instead}; expected a bundle, a folder with one .onnx file for each model "
            "(a signed file is loaded once `threat-scorer install` has taken it)"
        )
    paths = sorted(folder.glob("*.onnx"))
    if not paths:
        raise BundleError(f"{folder}: no .onnx file; expected one for each model")
    return BundleFiles(folder, {path.stem: _read(path) for path in paths})


def _read(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            raise BundleError(f"{path}: {size} bytes; expected at most {LARGEST_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
