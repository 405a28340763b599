"""Baseline and trees: what each adds, and the weights of rows."""

from dataclasses import replace

import numpy as np
from train.small_fits import AREA, COLUMNS, made

from pipeline.train import boosting


def test_trees_learn_less_from_rows_that_weigh_less() -> None:
    matrix, outcome = made(4000)
    doubted = np.where(outcome & (matrix[:, 2] > 0.5), 0.2, 1.0)
    steps = []
    for weights in (None, doubted):
        trees = boosting.fit(matrix, outcome, COLUMNS, AREA, rounds=40, weights=weights).booster
        below, above = trees.predict(np.array([[0, 0, 0], [0, 0, 1]], dtype=np.float32), raw_score=True)
        steps.append(above - below)
    assert steps[1] < steps[0] - 0.5


def test_trees_add_what_the_baseline_cannot_say() -> None:
    (matrix, outcome), (unseen, happened) = made(4000), made(4000, seed=2)
    model = boosting.fit(matrix, outcome, COLUMNS, AREA, rounds=40)
    loss = {}
    for name, log_odds in {
        "baseline": model.baseline.log_odds(COLUMNS.of_baseline(unseen)),
        "model": model.log_odds(unseen),
    }.items():
        loss[name] = np.logaddexp(0, np.where(happened, -log_odds, log_odds)).mean()
    assert loss["model"] < loss["baseline"] - 0.01


def test_trees_split_on_no_column_that_is_the_baselines_alone() -> None:
    matrix, outcome = made(2000)
    splits_on = {}
    for only_linear in ((), ("a",)):
        columns = replace(COLUMNS, only_linear=only_linear)
        model = boosting.fit(matrix, outcome, columns, AREA, rounds=30)
        splits_on[only_linear] = dict(zip(columns.names, model.booster.feature_importance(), strict=True))
    assert splits_on[()]["a"] > 0
    assert splits_on[("a",)]["a"] == 0 < splits_on[("a",)]["c"]
