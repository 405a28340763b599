"""Training rows and held-out rows -> how far each group of features has shifted between the two."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.model.catalogue import Feature
from pipeline.runtime.local_days import days_of

BINS = 10
"""Of equal count in the training rows; a value that many rows share has one bin."""

Mask = npt.NDArray[np.bool_]
Instants = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Split:
    """Rows that a model learnt from and rows that it then predicted; masks of shape (n,)."""

    name: str
    """Of the origin, or of the group that was held out."""
    train: Mask
    held_out: Mask


@dataclass(frozen=True)
class Drift:
    """The largest shift of any feature of a group, in any split."""

    group: str
    feature: str
    split: str
    index: float
    """`stability_index` of that feature in that split."""
    by_chance: float
    """Its average without a shift."""
    train: int
    """Rows behind it."""
    held_out: int


def drift(rows: pa.Table, features: Sequence[Feature], splits: Sequence[Split]) -> list[Drift]:
    """Return for each group the feature that shifted most, the most shifted group first.

    Parameters
    ----------
    rows
        Holds the features, n rows; missing is NaN.
    features
        What each is.
    splits
        Each has rows on both sides.
    """
    largest: dict[str, Drift] = {}
    for feature in features:
        values = rows[feature.name].to_numpy()
        for split in splits:
            train, held_out = values[split.train], values[split.held_out]
            index, chance = stability_index(train, held_out)
            group = feature.group
            if group not in largest or index > largest[group].index:
                largest[group] = Drift(group, feature.name, split.name, index, chance, len(train), len(held_out))
    return sorted(largest.values(), key=lambda shift: (-shift.index, shift.group))


def stability_index(train: npt.NDArray[np.float32], held_out: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return the population stability index of two samples, and its average if both are of one population.

    The index is the sum over bins of ``(q - p) ln(q / p)`` (Siddiqi, Credit Risk Scorecards, 2006). Here `p` and `q`
    are the shares of the two samples in a bin. Half a row more in each bin keeps an empty one finite. Without a shift,
    the average is about ``(bins - 1) (1 / n + 1 / m)``. See Yurdakul, Statistical Properties of Population Stability
    Index, 2018.

    Parameters
    ----------
    train, held_out
        Shape (n,) and (m,); missing values, NaN, have a bin of their own.

    Examples
    --------
    >>> even, uneven = np.repeat(np.float32([1, 2]), 50), np.repeat(np.float32([1, 2]), [20, 80])
    >>> stability_index(even, even)
    (0.0, 0.02)
    >>> round(stability_index(even, uneven)[0], 2)  # by hand, without the half rows: 0.3 ln(0.8 / 0.2)
    0.41
    """
    present = train[~np.isnan(train)]
    edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS, method="lower")) if len(present) else present
    counts = np.array([_counts(values, edges) for values in (train, held_out)])
    counts = counts[:, counts.any(axis=0)]
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    index = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    return index, (counts.shape[1] - 1) * (1 / len(train) + 1 / len(held_out))


def after_the_last_origin(cutoff: Instants, held_out: pa.Table, *, horizon_days: int, zone: str) -> list[Split]:
    """Return the rows of the last origin: those whose labels had ended by then, and those that its model predicted.

    Parameters
    ----------
    cutoff
        Of each row, UTC, shape (n,).
    held_out
        Its rows' ``cutoff``, and as ``fold`` the day of the origin whose model predicted each.
    zone
        Of the cutoffs and of that day.
    """
    fold = held_out["fold"].to_numpy()
    last = str(fold.max())
    predicted = np.isin(cutoff, held_out["cutoff"].to_numpy()[fold == last])
    return [Split(last, days_of(cutoff, zone) + horizon_days <= np.datetime64(last), predicted)]


def by_group(group: npt.NDArray[np.object_]) -> list[Split]:
    """Return a split for each group: its rows held out, all others for training; none where there is one group."""
    names = np.unique(group).tolist()
    return [Split(str(name), group != name, group == name) for name in names] if len(names) > 1 else []


def _counts(values: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]) -> list[int]:
    """Return how many values are at most each edge and over the one before, over all edges, and missing."""
    missing = np.isnan(values)
    bins = np.searchsorted(edges, values[~missing], side="left")
    return [*np.bincount(bins, minlength=len(edges) + 1).tolist(), int(missing.sum())]
