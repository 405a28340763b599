"""Records' keys of a stream, however long -> which of them may occur more than once, in bounded memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa

_LONGEST = 64
"""Bytes of a key that its hash sees; two keys that differ later are told apart by whoever looks at the suspects."""

_AT_ONCE = 1 << 23
"""Hashes that are sorted at a time: 64 MiB."""

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
    # one more number for the length also gives an empty text something to be made of
    result: np.ndarray = _TABLE[_LONGEST * 256 + np.minimum(lengths, 255)].copy()
    some = lengths > 0
    result[some] ^= np.bitwise_xor.reduceat(_TABLE[place * 256 + text], starts[some])
    return result


def repeated(path: Path) -> np.ndarray:
    """Return the hashes that stand more than once in a file of uint64, sorted, each once."""
    count = path.stat().st_size // 8
    passes = max(1, -(-count // _AT_ONCE))
    found = [np.empty(0, np.uint64)]
    for part in range(passes):
        mine = np.sort(_of_part(path, part, passes))
        found.append(np.unique(mine[1:][mine[1:] == mine[:-1]]))
    return np.sort(np.concatenate(found))


def _of_part(path: Path, part: int, parts: int) -> np.ndarray:
    pieces = [np.empty(0, np.uint64)]
    with path.open("rb") as file:
        while len(piece := np.fromfile(file, np.uint64, _AT_ONCE // 8)):
            pieces.append(piece[piece % np.uint64(parts) == part] if parts > 1 else piece)
    return np.concatenate(pieces)
