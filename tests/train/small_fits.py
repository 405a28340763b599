"""Settings, rows and groups from which tests fit models in milliseconds."""

import numpy as np
from scipy.special import expit
from support.fit_records import BOOSTING

from pipeline.model.fitted import Columns
from pipeline.params import AreaBoosting, SensorBoosting

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
