"""A calibration finds the line between log-odds and outcomes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from train.small_fits import AREA, COLUMNS, made

from pipeline.model import calibration
from pipeline.train import boosting


def test_calibration_lines_log_odds_up_with_what_happened() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(-1, 2, 200_000)
    outcome = random.random(len(truth)) < expit(truth)
    matrix, seen = made(200)
    line = calibration.fit((truth - 0.5) / 2, outcome)
    model = replace(boosting.fit(matrix, seen, COLUMNS, AREA, rounds=1), calibration=line)
    assert model.calibration.slope == pytest.approx(2, rel=0.03)
    assert model.calibration.intercept == pytest.approx(0.5, abs=0.03)
