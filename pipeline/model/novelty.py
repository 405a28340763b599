"""Measured inputs of alarms -> how unlike those that the model learnt from: 1 is the limit, above it is novel.

The distance is Mahalanobis' (1936): far from the mean for what the inputs usually vary, and vary together. Covariances
are shrunk (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004). A record may lack a modality: each set of those
that are there has its own covariance and its own limit, the distance that a given share of alarms exceeds that come
from groups held out whole (conformal anomaly detection: Laxhammar and Falkman, 2010).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LEAST_ROWS = 30
"""Alarms from which a set of modalities is learnt; one that is rarer is judged by the required inputs alone."""
_SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Novelty:
    """Mean, and a matrix for each set of optional parts that are there, of the distance over its limit."""

    inputs: tuple[str, ...]
    """The first columns of the model's matrix."""
    optional: tuple[tuple[int, ...], ...]
    """Columns of each part that may be missing; it counts as there when all of them are."""
    false_flags: float
    """Share of alarms from groups held out that are over the limit."""
    mean: Floats
    """(inputs,)"""
    whitening: Floats
    """(2^parts, inputs, inputs): bit k of the first index says that optional part k is there."""

    def of(self, inputs: Floats) -> Floats:
        """Return the novelty of rows, shape (n,).

        Parameters
        ----------
        inputs
            Shape (n, inputs), finite, or NaN where missing.
        """
        missing = np.isnan(inputs)
        away = np.where(missing, 0.0, inputs - self.mean)
        return np.sqrt(_squared(away, self.whitening[self.parts_there(missing)]))

    def parts_there(self, missing: Mask) -> npt.NDArray[np.int64]:
        """Return which matrix each row is measured with, shape (n,)."""
        there = [~missing[:, list(part)].any(axis=1) for part in self.optional]
        return np.asarray(sum((bit.astype(np.int64) << k for k, bit in enumerate(there)), np.zeros(len(missing), int)))

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON data, for `of_json`."""
        return {
            "inputs": list(self.inputs),
            "optional": [list(part) for part in self.optional],
            "false_flags": self.false_flags,
            "mean": self.mean.tolist(),
            "whitening": self.whitening.tolist(),
        }

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> "Novelty":
        """Read what `to_json` gave."""
        return cls(
            inputs=tuple(data["inputs"]),
            optional=tuple(tuple(part) for part in data["optional"]),
            false_flags=data["false_flags"],
            mean=np.array(data["mean"], np.float64),
            whitening=np.array(data["whitening"], np.float64),
        )


def fit(
    inputs: Floats,
    names: Sequence[str],
    groups: npt.NDArray[Any],
    *,
    optional: Sequence[Sequence[str]],
    false_flags: float,
    folds: int,
) -> Novelty:
    """Learn what usual alarms look like, and how far from that whole groups that were held out have been.

    Parameters
    ----------
    inputs, names
        Shape (n, inputs), NaN where missing, and the inputs' names.
    groups
        Of each row, shape (n,): two at least.
    optional
        Inputs of each part that a record may lack.
    false_flags
        Share of alarms of a group not seen that may be called novel.
    folds
        At most so many times some groups are held out, each once.
    """
    parts = tuple(tuple(names.index(name) for name in part) for part in optional)
    in_a_part = {column for part in parts for column in part}
    always = [column for column in range(len(names)) if column not in in_a_part]
    patterns = [
        sorted(always + [column for k, part in enumerate(parts) if bits >> k & 1 for column in part])
        for bits in range(2 ** len(parts))
    ]
    _, number = np.unique(groups, return_inverse=True)
    held_out = list(GroupKFold(min(folds, int(number.max()) + 1)).split(inputs, groups=number))
    learnt = [_pattern(inputs, columns, held_out, false_flags) for columns in patterns]
    whitening = [matrix if matrix is not None else learnt[0] for matrix in learnt]
    zero = np.zeros((len(names), len(names)))
    return Novelty(
        inputs=tuple(names),
        optional=parts,
        false_flags=false_flags,
        mean=_mean(inputs),
        whitening=np.stack([zero if matrix is None else matrix for matrix in whitening]),
    )


def _pattern(
    inputs: Floats,
    columns: Sequence[int],
    folds: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    false_flags: float,
) -> Floats | None:
    """Return the matrix of the alarms that have all of some columns; None where they are too few, or no column is."""
    there = np.isfinite(inputs[:, columns]).all(axis=1) & bool(len(columns))
    if there.sum() < LEAST_ROWS:
        return None
    distances = []
    for seen, held in folds:
        rows = [np.isin(np.arange(len(inputs)), some) & there for some in (seen, held)]
        if rows[0].sum() >= LEAST_ROWS // 2 and rows[1].any():
            matrix = _whitening(inputs[rows[0]], columns)
            distances.append(_squared(np.nan_to_num(inputs[rows[1]] - _mean(inputs[seen])), matrix))
    found = np.sort(np.concatenate(distances))
    # the (n + 1)th alarm, the one to come, is as likely to be at any place of the order
    place = min(math.ceil((len(found) + 1) * (1 - false_flags)), len(found)) - 1
    return np.asarray(_whitening(inputs[there], columns) / np.sqrt(found[place]))


def _mean(inputs: Floats) -> Floats:
    known = np.isfinite(inputs)
    return np.asarray(np.where(known, inputs, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _whitening(inputs: Floats, columns: Sequence[int]) -> Floats:
    """Return the matrix that turns inputs into uncorrelated ones of variance 1: zero outside the columns."""
    x = inputs[:, columns]
    spread = np.sqrt(np.maximum(x.var(axis=0), _SMALLEST_VARIANCE))
    covariance = LedoitWolf().fit(x / spread).covariance_
    root = np.linalg.inv(np.linalg.cholesky(covariance)) / spread
    matrix = np.zeros((inputs.shape[1], inputs.shape[1]))
    matrix[np.ix_(columns, columns)] = root.T
    return matrix


def _squared(away: Floats, whitening: Floats) -> Floats:
    """Return the squared length of rows (n, inputs) times one matrix, or a matrix each."""
    white = np.einsum("ni,...ij->nj" if whitening.ndim == 2 else "ni,nij->nj", away, whitening)
    return np.asarray((white**2).sum(axis=1))
