"""Reliability A-E and credibility 1-5 of reports -> how far each is trusted, by the table that params.yaml declares."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.params.datasets import Admiralty

Floats = npt.NDArray[np.float64]


def trust(rows: pa.Table, weights: Admiralty) -> Floats:
    """Return how far each row is trusted, 0 to 1, shape (n,); NaN where neither source nor content is judged.

    Both codes rate one thing: whether the report is right. The trust is the geometric mean of their weights. Where one
    code is missing (F, 6: cannot be judged), the other counts alone. No middle weight replaces the missing one.

    Parameters
    ----------
    rows
        With `source_reliability` and `information_credibility`, as in `schemas.INCIDENTS`.
    weights
        Of each code.
    """
    parts = np.stack(
        [
            _weights(rows["source_reliability"], dict(weights.reliability)),
            _weights(rows["information_credibility"], dict(weights.credibility)),
        ]
    )
    judged = ~np.isnan(parts)
    product = np.where(judged, parts, 1.0).prod(axis=0)
    count = judged.sum(axis=0)
    # no logarithms: a square root is rounded alike on every processor
    return np.where(count == 2, np.sqrt(product), np.where(count == 1, product, np.nan))


def _weights(codes: pa.ChunkedArray, declared: dict[Any, float]) -> Floats:
    index = pc.index_in(codes, pa.array(list(declared), codes.type)).fill_null(len(declared)).to_numpy()
    return np.asarray(np.array([*declared.values(), np.nan])[index])
