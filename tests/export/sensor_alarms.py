"""Inputs of a sensor model, drawn so that two of them go together, and the novelty fitted to them."""

import numpy as np

from pipeline.model import novelty
from pipeline.model.novelty import Novelty

NAMES = ["voltage", "height", "emi_in_phase", "emi_quadrature"]
EMI = [["emi_in_phase", "emi_quadrature"]]


def alarms(rows: int, seed: int) -> np.ndarray:
    """Return inputs of which the last two go together, and are missing in a third of the rows."""
    random = np.random.default_rng(seed)
    voltage, height, in_phase = random.normal(0.5, 0.1, rows), random.random(rows), random.normal(0, 0.5, rows)
    quadrature = in_phase + random.normal(0, 0.1, rows)
    made = np.column_stack([voltage, height, in_phase, quadrature])
    made[random.random(rows) < 1 / 3, 2:] = np.nan
    return made.astype(np.float32)


def groups_of(count: int, rows: int) -> np.ndarray:
    return np.array([f"lane {n % count:02}" for n in range(rows)])


def usual_novelty() -> Novelty:
    inputs = alarms(3000, 1).astype(np.float64)
    return novelty.fit(inputs, NAMES, groups_of(12, 3000), optional=EMI, false_flags=0.02, folds=4)
