"""Measured inputs of alarms -> predictions of other models that had not seen the alarm's fold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pipeline.model.skill_records import BASE_RATE
from pipeline.validation.metrics import Floats, Mask

Names = npt.NDArray[Any]

SVM_ROWS = 2000
"""Largest number of alarms, drawn at random, that train the support vector machine; time grows with their square."""
PROCESS_ROWS = 300
"""Largest number of alarms of a group that train its Gaussian process: its time grows with their cube."""


def probabilities(inputs: Floats, outcome: Mask, fold: Names, group: Names, *, seed: int) -> dict[str, Floats]:
    """Return each baseline's probabilities, by its name.

    Parameters
    ----------
    inputs
        Shape (n, inputs), NaN where missing: the mean replaces it, and an extra column marks it.
    outcome, fold, group
        Of each row, shape (n,); a fold is made of whole groups.
    seed
        Of the rows that are drawn, and of the trees.

    Returns
    -------
    dict
        ``base_rate``: the share of hazards. ``logistic_regression``. ``svm``: a support vector machine with
        radial kernel, its margins turned into probabilities by a sigmoid (Platt 1999) on groups held out within.
        ``extra_trees``: extremely randomised trees (Geurts, Ernst and Wehenkel 2006). ``gaussian_processes``: one
        for each group, of which those outside the row's fold are averaged.
    """
    return {
        BASE_RATE: base_rate(outcome, fold),
        "logistic_regression": _held_out(LogisticRegression(), inputs, outcome, fold),
        "svm": _svm(inputs, outcome, fold, group, seed=seed),
        "extra_trees": _held_out(
            ExtraTreesClassifier(100, min_samples_leaf=3, random_state=seed), inputs, outcome, fold
        ),
        "gaussian_processes": _gaussian_processes(inputs, outcome, fold, group, seed=seed),
    }


def base_rate(outcome: Mask, fold: Names) -> Floats:
    """Return for each row the share of hazards among the rows of the other folds."""
    _, number = np.unique(fold, return_inverse=True)
    hazards, rows = np.bincount(number, weights=outcome), np.bincount(number)
    return np.asarray(((hazards.sum() - hazards) / (rows.sum() - rows))[number])


def _held_out(model: BaseEstimator, inputs: Floats, outcome: Mask, fold: Names) -> Floats:
    probability = np.empty(len(outcome))
    for seen, predicted in _folds(fold):
        fitted = _of_inputs(model).fit(inputs[seen], outcome[seen])
        probability[predicted] = fitted.predict_proba(inputs[predicted])[:, 1]
    return probability


def _svm(inputs: Floats, outcome: Mask, fold: Names, group: Names, *, seed: int) -> Floats:
    probability = np.empty(len(outcome))
    random = np.random.default_rng(seed)
    for seen, predicted in _folds(fold):
        trained = np.sort(random.permutation(np.flatnonzero(seen))[:SVM_ROWS])
        inner = GroupKFold(min(3, len(np.unique(group[trained]))))
        splits = list(inner.split(trained, groups=group[trained]))
        model = CalibratedClassifierCV(_of_inputs(SVC()), cv=splits, ensemble=False)
        model.fit(inputs[trained], outcome[trained])
        probability[predicted] = model.predict_proba(inputs[predicted])[:, 1]
    return probability


def _gaussian_processes(inputs: Floats, outcome: Mask, fold: Names, group: Names, *, seed: int) -> Floats:
    total, count = np.zeros(len(outcome)), np.zeros(len(outcome))
    random = np.random.default_rng(seed)
    for name in np.unique(group):
        rows = np.sort(random.permutation(np.flatnonzero(group == name))[:PROCESS_ROWS])
        elsewhere = fold != fold[rows[0]]
        if 0 < outcome[rows].sum() < len(rows):
            process = GaussianProcessClassifier(9.0 * RBF(1.0), optimizer=None)
            fitted = _of_inputs(process).fit(inputs[rows], outcome[rows])
            total[elsewhere] += fitted.predict_proba(inputs[elsewhere])[:, 1]
            count[elsewhere] += 1
    known = count > 0
    return np.where(known, total / np.maximum(count, 1), base_rate(outcome, fold))


def _of_inputs(model: BaseEstimator) -> Any:
    return make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler(), model)


def _folds(fold: Names) -> Iterator[tuple[Mask, Mask]]:
    for name in np.unique(fold):
        yield fold != name, fold == name
