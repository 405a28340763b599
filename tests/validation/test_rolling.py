"""A draw of the rows to learn from."""

import numpy as np
import pytest
from train.small_fits import made

from pipeline.model import loglinear
from pipeline.validation import rolling


def test_a_draw_of_the_rows_without_an_event_stands_for_all_of_them() -> None:
    outcome = made(20_000)[1]
    train = np.arange(20_000) < 15_000
    rows, count = rolling.thinned(train, outcome, most_negatives=2_000, seed=7)
    assert (~outcome[rows]).sum() == 2_000
    assert outcome[rows].sum() == outcome[train].sum()
    assert count.sum() == pytest.approx(15_000)
    assert train[rows].all()
    matrix = made(20_000)[0][:, :2]
    drawn = loglinear.fit(["a", "b"], matrix[rows], outcome[rows], weights=count)
    every = loglinear.fit(["a", "b"], matrix[train], outcome[train])
    assert drawn.weights["a"] == pytest.approx(every.weights["a"], rel=0.1)
    assert drawn.intercept == pytest.approx(every.intercept, abs=0.1)
