"""Whole records of fits, for tests that need a part of one."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.model.fit_record import AreaFitRecord, OriginFit, SensorFitRecord
from pipeline.model.intervals import IntervalTable
from pipeline.model.log_odds import UNCALIBRATED, LogLinear
from pipeline.model.novelty import Novelty
from pipeline.params.stages import AreaBoosting, SensorBoosting
from pipeline.storage.marking import Marking

BOOSTING = {
    "baseline_ridge": 1.0,
    "num_leaves": 4,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "lambda_l2": 1.0,
    "feature_fraction": 0.8,
    "seed": 7,
}
_COMMON: dict[str, Any] = {
    "features": ["a", "b"],
    "baseline": LogLinear(0.0, {}),
    "calibration": UNCALIBRATED,
    "best_iteration": 3,
    "base_rate": 0.25,
    "rows": 40,
    "positives": 10,
    "features_digest": "sha256:" + "0" * 64,
    "marking": Marking("TEST", ("ALL",), "CLEAR"),
}


def area_fit(**changes: Any) -> AreaFitRecord:
    """Return the record of a fit for 28 days, with some fields changed."""
    params = AreaBoosting(**BOOSTING, rounds=[10, 40], calibration_blocks=2, most_negatives=10_000)
    instant = "2021-01-01T00:00:00.000000Z"
    record = AreaFitRecord(
        **_COMMON, params=params, horizon_days=28, train_from=instant, labels_until=instant, origins=[]
    )
    return replace(record, **changes)


def origin_fit(day: str, **changes: Any) -> OriginFit:
    """Return the fit at the origin that begins a day, whose labels end by then."""
    instant = f"{day}T00:00:00.000000Z"
    record = OriginFit(
        at=instant,
        day=day,
        labels_until=instant,
        rows=30,
        positives=10,
        rounds=40,
        calibration=UNCALIBRATED,
        calibration_rows=20,
    )
    return replace(record, **changes)


def sensor_fit(**changes: Any) -> SensorFitRecord:
    """Return the record of a fit, with some fields changed; its novelty measures nothing."""
    record = SensorFitRecord(
        **_COMMON,
        params=SensorBoosting(
            **BOOSTING,
            max_rounds=60,
            early_stopping_rounds=10,
            folds=6,
            tuning_folds=3,
            interval_level=0.9,
            false_flags=0.02,
        ),
        groups=["clay", "sand"],
        interval=IntervalTable(0.9, 0.1, np.array([0.0]), np.array([-9.0, -1.0]), np.array([1.0, 9.0])),
        novelty=Novelty((), (), 0.02, np.zeros(0), np.zeros((1, 0, 0))),
    )
    return replace(record, **changes)
