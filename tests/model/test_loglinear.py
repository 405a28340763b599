"""The log-linear fit is scikit-learn's, and weights are rows."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from train.small_fits import made

from pipeline.model import loglinear


def test_the_log_linear_fit_is_scikit_learns_on_standardised_columns() -> None:
    matrix, outcome = made(3000)
    columns = np.column_stack([1000 * matrix[:, 0] + 5, matrix[:, 1], np.full(3000, 4.0)])
    found = loglinear.fit(["x", "y", "constant"], columns, outcome, ridge=10.0)
    scaled = (columns[:, :2] - columns[:, :2].mean(axis=0)) / columns[:, :2].std(axis=0)
    expected = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit(scaled, outcome)
    np.testing.assert_allclose(found.log_odds(columns), expected.decision_function(scaled), atol=1e-3)
    assert found.weights["constant"] == 0


def test_a_row_of_weight_two_is_two_rows() -> None:
    columns, outcome = made(400)[0][:, :2], made(400)[1]
    weights = np.where(np.arange(400) < 150, 2.0, 1.0)
    twice = np.repeat(np.arange(400), weights.astype(int))
    found = loglinear.fit(["a", "b"], columns, outcome, weights=weights)
    expected = loglinear.fit(["a", "b"], columns[twice], outcome[twice])
    np.testing.assert_allclose(
        [found.intercept, *found.weights.values()], [expected.intercept, *expected.weights.values()], rtol=1e-4
    )
