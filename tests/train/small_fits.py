"""Settings, rows and groups from which tests fit models in milliseconds."""

import numpy as np
from scipy.special import expit

from pipeline.model.fitted import Columns
from pipeline.params import AreaBoosting, SensorBoosting

BOOSTING = {
    "baseline_ridge": 1.0,
    "num_leaves": 4,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "lambda_l2": 1.0,
    "feature_fraction": 0.8,
    "seed": 7,
}
AREA = AreaBoosting(**BOOSTING, rounds=[10, 40], calibration_blocks=2, most_negatives=10_000)
SENSOR = SensorBoosting(
    **BOOSTING, max_rounds=60, early_stopping_rounds=10, folds=6, tuning_folds=3, interval_level=0.9, false_flags=0.05
)
COLUMNS = Columns(names=("a", "b", "c"), linear=("a", "b"))


def made(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return features and outcomes: linear in a and b, a step in c, which is missing in a third of the rows."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, 3)).astype(np.float32)
    log_odds = -1 + matrix[:, 0] - 0.5 * matrix[:, 1] + 2 * (matrix[:, 2] > 0.5)
    matrix[random.random(rows) < 1 / 3, 2] = np.nan
    return matrix, random.random(rows) < expit(log_odds)


def groups_of(count: int, rows: int) -> np.ndarray:
    return np.array([f"soil {n % count}" for n in range(rows)])
