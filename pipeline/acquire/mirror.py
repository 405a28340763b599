"""A mirror folder and its SHA256SUMS -> which files a dataset reads, with the digests that they must have.

A mirror is a folder of partners' files that was carried in and checked. It is only read, as on an air-gapped site.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.params import Dataset
from pipeline.params.declarations import read_declaration
from pipeline.params.names import nearest
from pipeline.runtime.errors import DeclarationError, StageError
from pipeline.storage.paths import SOURCES

LIST = "SHA256SUMS"
"""Name of the file that lists a folder's files, as ``sha256sum`` writes it: ``<hex>  <path>`` lines."""

_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
_HOW_TO_LIST = (
    f"make it in the mirror folder: find . -type f ! -name {LIST} -printf '%P\\0' | xargs -0 sha256sum > {LIST}"
)


def files_of(dataset: Dataset, *, sources: Path = SOURCES) -> list[str]:
    """Return the files that a dataset's source mappings name, sorted, each once.

    Only the key ``file`` of each mapping is read here; `ingest` reads the rest.

    Raises
    ------
    DeclarationError
        There are no sources, a mapping is missing or is not YAML, or its ``file`` is not a relative path inside the
        mirror.
    """
    if not dataset.sources:
        raise DeclarationError("params.yaml: the dataset has no sources; expected names of mappings in data/sources")
    return sorted({_file_of(name, sources) for name in dataset.sources})


def read_list(folder: Path) -> dict[str, str]:
    """Read a folder's SHA256SUMS as ``{path: hex digest}``.

    Raises
    ------
    StageError
        The folder or the list is missing, a line is not ``<hex>  <path>``, or two lines name one path.
    """
    if not folder.is_dir():
        raise StageError(f"{folder}: no such folder; expected a mirror of the partners' files with a {LIST}")
    path = folder / LIST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StageError(
            f"{path}: no such file; expected the digests of the mirror's files. To {_HOW_TO_LIST}"
        ) from None
    except UnicodeDecodeError as error:
        raise StageError(f"{path}: not UTF-8 at byte {error.start}; expected lines `<hex>  <path>`") from None
    digests: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if not match:
            raise StageError(f"{path} line {number}: got {line[:80]!r}; expected 64 hex digits, two spaces and a path")
        name = match[2].removeprefix("./")
        if digests.setdefault(name, match[1]) != match[1]:
            raise StageError(f"{path} line {number}: {name} is listed twice with different digests; expected one")
    return digests


def listed(folder: Path, files: Iterable[str]) -> dict[str, str]:
    """Return ``{path: hex digest}`` of the given files, from the mirror's list; the files are not read.

    Raises
    ------
    StageError
        The mirror has no list, or the list lacks one of the files; every file that it lacks is named.
    """
    digests = read_list(folder)
    files = sorted(files)
    if missing := [name for name in files if name not in digests]:
        raise StageError(
            "\n".join(
                f"{folder / LIST}: {name} is not listed; got {len(digests)} files, expected this one among them"
                f"{nearest(name, digests)}"
                for name in missing
            )
            + "\nAdd the file to the mirror and its digest to the list."
        )
    return {name: digests[name] for name in files}


def cut_of(digests: Mapping[str, str]) -> str:
    """Return the digest of a list of files: another file, name or byte gives another cut.

    Parameters
    ----------
    digests
        ``{path: hex digest}``, as from `listed`.

    Returns
    -------
    str
        SHA-256 in hex of the list's lines sorted by path, as `as_list` writes them.

    Examples
    --------
    >>> cut_of({"b.csv": "1" * 64, "a.csv": "0" * 64}) == cut_of({"a.csv": "0" * 64, "b.csv": "1" * 64})
    True
    """
    return hashlib.sha256(as_list(digests).encode()).hexdigest()


def as_list(digests: Mapping[str, str]) -> str:
    r"""Return the text of a SHA256SUMS, sorted by path.

    Examples
    --------
    >>> as_list({"a.csv": "0123"})
    '0123  a.csv\n'
    """
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def _file_of(source: str, sources: Path) -> str:
    path = sources / f"{source}.yaml"
    if not path.exists():
        known = sorted(p.stem for p in sources.glob("*.yaml"))
        raise DeclarationError(f"{path}: no such file; params.yaml names the source {source!r}{nearest(source, known)}")
    mapping = read_declaration(path, dict[str, Any])
    file = mapping.get("file")
    if not isinstance(file, str) or not _is_inside(file):
        raise DeclarationError(
            f"{path}: file: got {file!r}; expected a path inside the mirror, such as acme/incidents.csv"
        )
    return file


def _is_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and path.as_posix() == file
