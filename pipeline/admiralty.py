"""Reliability A-F and credibility 1-6 -> weights, by one declared table.

The codes rank; they carry no numbers of their own. These weights read a code as the share of such reports that prove
right, as its words suggest (AJP-2.1). F and 6 say that nothing can be judged: they are missing, NaN here, and never a
middling value.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

RELIABILITY_WEIGHTS = {"A": 0.95, "B": 0.80, "C": 0.60, "D": 0.35, "E": 0.10}
CREDIBILITY_WEIGHTS = {1: 0.95, 2: 0.80, 3: 0.60, 4: 0.35, 5: 0.10}


def reliability_weights(codes: pa.ChunkedArray) -> np.ndarray:
    """Return the weight of each source's reliability, float32, shape (n,); NaN where it is missing.

    Examples
    --------
    >>> reliability_weights(pa.chunked_array([["A", None, "E"]])).tolist()
    [0.949999988079071, nan, 0.10000000149011612]
    """
    return _weights(codes, RELIABILITY_WEIGHTS)


def credibility_weights(codes: pa.ChunkedArray) -> np.ndarray:
    """Return the weight of each report's credibility, float32, shape (n,); NaN where it is missing."""
    return _weights(codes, CREDIBILITY_WEIGHTS)


def sample_weights(reliability: pa.ChunkedArray, credibility: pa.ChunkedArray) -> np.ndarray:
    """Return how much each report counts in a fit: the product of what is known of both, 1 where nothing is.

    Returns
    -------
    float32, shape (n,), more than 0.
    """
    parts = reliability_weights(reliability), credibility_weights(credibility)
    return np.asarray(np.prod([np.where(np.isnan(part), 1.0, part) for part in parts], axis=0), np.float32)


def _weights(codes: pa.ChunkedArray, table: dict[str, float] | dict[int, float]) -> np.ndarray:
    known = pa.array(list(table), codes.type)
    index = pc.index_in(codes, known).fill_null(len(table)).to_numpy()
    return np.asarray(np.array([*table.values(), np.nan], np.float32)[index])
