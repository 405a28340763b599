"""Rows -> a log-linear baseline and LightGBM trees boosted from its log-odds; same rows and parameters, same bytes.

Every call sets one thread. LightGBM keeps one number of threads for the whole process. A call with another number
would change that of a fit beside it in `runtime.workers`, and crash.
"""

import lightgbm
import numpy as np

from pipeline.model import loglinear
from pipeline.model.fitted import ONE_THREAD, Columns, Floats, Mask, Matrix, Model
from pipeline.model.log_odds import LogLinear
from pipeline.params import Boosting, SensorBoosting


def fit(
    matrix: Matrix,
    outcome: Mask,
    columns: Columns,
    settings: Boosting,
    *,
    rounds: int,
    weights: Floats | None = None,
) -> Model:
    """Fit a baseline and a number of trees, not yet calibrated.

    Parameters
    ----------
    matrix
        Features, shape (n, len(columns.names)), NaN where missing.
    outcome
        Shape (n,); holds both classes.
    weights
        How much each row counts, shape (n,); all alike where not given.
    """
    baseline = _baseline(matrix, outcome, columns, settings, weights)
    rows = _dataset(matrix, outcome, baseline, columns, weights)
    booster = lightgbm.train(_parameters(settings, columns), rows, num_boost_round=rounds)
    return Model(columns, baseline, booster)


def fit_until_best(
    train: tuple[Matrix, Mask],
    validation: tuple[Matrix, Mask],
    columns: Columns,
    settings: SensorBoosting,
    *,
    weights: Floats | None = None,
) -> tuple[Model, int]:
    """Fit trees until the log-loss of other rows has stopped falling.

    Parameters
    ----------
    train, validation
        Features, shape (n, len(columns.names)), and outcomes, shape (n,), of the rows of the fit and of other rows.
    columns
        The model's features.
    settings
        How the model is fitted, and when to stop.
    weights
        How much each row of the fit counts, shape (n,); all alike where not given.

    Returns
    -------
    model : Model
        With a few trees more than the best number.
    rounds : int
        The number of trees at which the log-loss of the validation rows is lowest.
    """
    baseline = _baseline(*train, columns, settings, weights)
    rows = _dataset(*train, baseline, columns, weights)
    booster = lightgbm.train(
        _parameters(settings, columns),
        rows,
        num_boost_round=settings.max_rounds,
        valid_sets=[_dataset(*validation, baseline, columns, None).set_reference(rows)],
        callbacks=[lightgbm.early_stopping(settings.early_stopping_rounds, verbose=False)],
        keep_training_booster=True,
    )
    return Model(columns, baseline, booster), int(booster.best_iteration)


def _baseline(matrix: Matrix, outcome: Mask, columns: Columns, settings: Boosting, weights: Floats | None) -> LogLinear:
    names, ridge = list(columns.linear), settings.baseline_ridge
    return loglinear.fit(names, columns.of_baseline(matrix), outcome, ridge=ridge, weights=weights)


def _dataset(
    matrix: Matrix, outcome: Mask, baseline: LogLinear, columns: Columns, weights: Floats | None
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        matrix,
        label=outcome.astype(np.float32),
        weight=weights,
        init_score=baseline.log_odds(columns.of_baseline(matrix)),
        feature_name=list(columns.names),
        params={"verbosity": -1, **ONE_THREAD},
    )


def _parameters(settings: Boosting, columns: Columns) -> dict[str, object]:
    # LightGBM makes no split whose gain it multiplies by 0
    gains = [0.0 if name in columns.only_linear else 1.0 for name in columns.names]
    return {
        **({"feature_contri": gains} if columns.only_linear else {}),
        "objective": "binary",
        "metric": "binary_logloss",
        "num_leaves": settings.num_leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.min_data_in_leaf,
        "lambda_l2": settings.lambda_l2,
        "feature_fraction": settings.feature_fraction,
        "seed": settings.seed,
        **ONE_THREAD,
        "deterministic": True,
        "force_col_wise": True,  # the faster one where a tree looks at some of many columns
        "verbosity": -1,
    }
