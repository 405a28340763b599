"""The keys of a stream of records -> the hashes of those that may repeat, in bounded memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa

_LONGEST = 64
"""Bytes of a key that go into its hash; the caller compares keys that differ only after them."""

_AT_ONCE = 1 << 23
"""Hashes in one sort: 64 MiB."""

_TABLE = np.random.default_rng(7).integers(0, 2**64, size=(_LONGEST + 1) * 256, dtype=np.uint64)


def hashes(keys: pa.Array) -> np.ndarray:
    """Hash texts by tabulation (Zobrist 1970): the exclusive or of a random number for each byte at its place.

    Parameters
    ----------
    keys
        `string` without nulls, shape (n,).

    Returns
    -------
    uint64, shape (n,); the same in every run.
    """
    keys = keys.cast(pa.large_string())
    if not len(keys):
        return np.empty(0, np.uint64)
    _, offset_buffer, byte_buffer = keys.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[keys.offset : keys.offset + len(keys) + 1]
    text = np.frombuffer(byte_buffer, np.uint8)[offsets[0] : offsets[-1]]
    starts = offsets[:-1] - offsets[0]
    lengths = np.diff(offsets)
    place = np.minimum(np.arange(len(text)) - np.repeat(starts, lengths), _LONGEST - 1)
    # one more number, for the length, so that an empty text has a hash too
    result: np.ndarray = _TABLE[_LONGEST * 256 + np.minimum(lengths, 255)].copy()
    filled = lengths > 0
    result[filled] ^= np.bitwise_xor.reduceat(_TABLE[place * 256 + text], starts[filled])
    return result


def repeated(path: Path) -> np.ndarray:
    """Return the hashes that occur more than once in a file of uint64, sorted, each once."""
    count = path.stat().st_size // 8
    passes = max(1, -(-count // _AT_ONCE))
    results = [np.empty(0, np.uint64)]
    for part in range(passes):
        ordered = np.sort(_of_part(path, part, passes))
        results.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
    return np.sort(np.concatenate(results))


def _of_part(path: Path, part: int, parts: int) -> np.ndarray:
    pieces = [np.empty(0, np.uint64)]
    with path.open("rb") as file:
        while len(piece := np.fromfile(file, np.uint64, _AT_ONCE // 8)):
            pieces.append(piece[piece % np.uint64(parts) == part] if parts > 1 else piece)
    return np.concatenate(pieces)
