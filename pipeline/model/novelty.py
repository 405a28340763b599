"""Measured inputs of alarms -> how unlike the training alarms they are: 1 is the limit, above it is novel.

The distance is Mahalanobis' (1936): it allows for how much the inputs usually vary, and vary together. Covariances
are shrunk (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004). A record may lack a modality, so each set of
modalities has its own covariance and its own limit. The limit is the distance that a given share of alarms exceeds.
Those alarms are of groups held out whole (conformal anomaly detection: Laxhammar and Falkman, 2010).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold

from pipeline.storage.records import RECORD, FloatArray

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LEAST_ROWS = 30
"""Alarms from which a set of modalities is learnt; one that is rarer is judged by the required inputs alone."""
_SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, config=RECORD)
class Novelty:
    """Mean, and for each set of optional modalities the matrix of the distance over its limit."""

    inputs: tuple[str, ...]
    """The first columns of the model's matrix."""
    optional: tuple[tuple[int, ...], ...]
    """Columns of each modality that a record may lack; it counts as present when all of them are."""
    false_flags: float
    """Share of alarms from groups held out that are over the limit."""
    mean: FloatArray
    """(inputs,)"""
    whitening: FloatArray
    """(2^modalities, inputs, inputs): bit k of the first index says that optional modality k is present."""

    def of(self, inputs: Floats) -> Floats:
        """Return the novelty of rows, shape (n,).

        Parameters
        ----------
        inputs
            Shape (n, inputs), finite, or NaN where missing.
        """
        missing = np.isnan(inputs)
        away = np.where(missing, 0.0, inputs - self.mean)
        return np.sqrt(_squared(away, self.whitening[self.modalities_there(missing)]))

    def modalities_there(self, missing: Mask) -> npt.NDArray[np.int64]:
        """Return which matrix each row is measured with, shape (n,)."""
        present = [~missing[:, list(modality)].any(axis=1) for modality in self.optional]
        return np.asarray(
            sum((bit.astype(np.int64) << k for k, bit in enumerate(present)), np.zeros(len(missing), int))
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
    """Learn the mean and spread of usual alarms, and how far from these alarms of groups held out have been.

    Parameters
    ----------
    inputs, names
        Shape (n, inputs), NaN where missing, and the inputs' names.
    groups
        Of each row, shape (n,): two at least.
    optional
        Inputs of each modality that a record may lack.
    false_flags
        Share of alarms of a group not seen that may be called novel.
    folds
        Largest number of folds; each group is held out once.
    """
    modalities = tuple(tuple(names.index(name) for name in modality) for modality in optional)
    may_be_missing = {column for modality in modalities for column in modality}
    always = [column for column in range(len(names)) if column not in may_be_missing]
    patterns = [
        sorted(always + [column for k, modality in enumerate(modalities) if bits >> k & 1 for column in modality])
        for bits in range(2 ** len(modalities))
    ]
    _, number = np.unique(groups, return_inverse=True)
    held_out = list(GroupKFold(min(folds, int(number.max()) + 1)).split(inputs, groups=number))
    learnt = [_pattern(inputs, columns, held_out, false_flags) for columns in patterns]
    whitening = [matrix if matrix is not None else learnt[0] for matrix in learnt]
    zero = np.zeros((len(names), len(names)))
    return Novelty(
        inputs=tuple(names),
        optional=modalities,
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
    """Return the matrix of the alarms that have all `columns`; None where too few do, or there is no column."""
    complete = np.isfinite(inputs[:, columns]).all(axis=1) & bool(len(columns))
    if complete.sum() < LEAST_ROWS:
        return None
    distances = []
    for train, test in folds:
        seen, held_out = (np.isin(np.arange(len(inputs)), rows) & complete for rows in (train, test))
        if seen.sum() >= LEAST_ROWS // 2 and held_out.any():
            matrix = _whitening(inputs[seen], columns)
            distances.append(_squared(np.nan_to_num(inputs[held_out] - _mean(inputs[train])), matrix))
    ordered = np.sort(np.concatenate(distances))
    # the (n + 1)th alarm, the one to come, is as likely to be at any place of the order
    place = min(math.ceil((len(ordered) + 1) * (1 - false_flags)), len(ordered)) - 1
    return np.asarray(_whitening(inputs[complete], columns) / np.sqrt(ordered[place]))


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
