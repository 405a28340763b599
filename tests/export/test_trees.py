"""Every kind of LightGBM booster -> every exported variant: the same leaves and probabilities, or a stated refusal."""

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from pipeline.export.gate.parity import Reference, check, run, session
from pipeline.export.gate.rows import RealColumns, adversarial_rows, threshold_rows
from pipeline.export.graph import build
from pipeline.export.graph_builder import VARIANTS
from pipeline.export.trees import ModelNotExportable, parse
from pipeline.model.log_odds import CalibratedLogOdds, Calibration, LogLinear

PLAIN = CalibratedLogOdds()
QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 3}


def table(rng: np.random.Generator, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return features (smooth, with zeros and denormals, missing, two categories, constant, large) and labels."""
    x = rng.normal(size=(rows, 7)).astype(np.float32)
    x[rng.random(rows) < 0.3, 1] = 0
    x[rng.random(rows) < 0.1, 1] = 1e-36
    x[rng.random(rows) < 0.3, 2] = np.nan
    x[:, 3] = rng.integers(0, 5, rows)
    x[:, 4] = rng.integers(0, 70, rows)
    x[:, 5] = 1
    x[:, 6] = (x[:, 6] * 1e9).astype(np.float32)
    signal = x[:, 0] + (x[:, 1] > 0) + np.isnan(x[:, 2]) - (x[:, 3] == 2) + (x[:, 4] % 3 == 0) + (x[:, 6] > 1e8)
    return x, (signal + rng.normal(size=rows) > 1).astype(int)


def fit(x: np.ndarray, y: np.ndarray, rounds: int, *, categorical: bool = False, **params: Any) -> lgb.Booster:
    data = lgb.Dataset(
        x,
        y,
        weight=params.pop("weight", None),
        categorical_feature=[3, 4] if categorical else "auto",
        params={"min_data_per_group": 5, "max_cat_to_onehot": 2},
    )
    return lgb.train({"objective": "binary", **QUIET, **params}, data, rounds)


def check_parity(
    booster: lgb.Booster, x: np.ndarray, formula: CalibratedLogOdds = PLAIN
) -> tuple[ModelProto, Reference]:
    """Put every variant through the gate, on real, random, threshold and adversarial rows; return the last."""
    text = booster.model_to_string()
    forest = parse(text)
    reference = Reference(lgb.Booster(model_str=text), forest, formula)
    rng = np.random.default_rng(5)
    rows = {
        "test": [x],
        "random": [RealColumns.of(x).random(600, rng)],
        "threshold": [threshold_rows(forest, x, reference.leaves(x))],
        "adversarial": [adversarial_rows(forest, 1500, rng)],
    }
    for variant in VARIANTS:
        model = build(forest, formula, name="model", variant=variant)
        check(model, reference, rows, operating_points={"half": 0.5}, tolerance=VARIANTS[variant].tolerance)
    return model, reference


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**16),
    rounds=st.integers(1, 12),
    categorical=st.booleans(),
    weighted=st.booleans(),
    missing=st.sampled_from([{}, {"zero_as_missing": True}, {"use_missing": False}]),
    kind=st.sampled_from(
        [
            {},
            {"boosting": "dart", "drop_rate": 0.5},
            {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
            {"data_sample_strategy": "goss"},
            {"extra_trees": True},
        ]
    ),
    shape=st.fixed_dictionaries(
        {
            "num_leaves": st.integers(2, 31),
            "max_depth": st.sampled_from([-1, 1, 4]),
            "min_data_in_leaf": st.integers(1, 30),
            "sigmoid": st.sampled_from([1.0, 0.7, 2.5]),
        }
    ),
)
def test_any_booster_keeps_every_leaf_and_probability(
    seed, rounds, categorical, weighted, missing, kind, shape
) -> None:
    rng = np.random.default_rng(seed)
    x, y = table(rng)
    weight = rng.random(len(y)) + 0.1 if weighted else None
    booster = fit(x, y, rounds, categorical=categorical, weight=weight, **missing, **kind, **shape)
    check_parity(booster, x)


def test_early_stopping_exports_the_best_rounds_only() -> None:
    x, y = table(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    booster = lgb.train(
        {"objective": "binary", **QUIET},
        lgb.Dataset(x[:200], y[:200]),
        60,
        valid_sets=[lgb.Dataset(x[200:], rng.permutation(y[200:]))],
        callbacks=[lgb.early_stopping(3, verbose=False)],
        keep_training_booster=True,
    )
    assert booster.best_iteration < booster.current_iteration()
    model, reference = check_parity(booster, x)
    assert reference.forest.n_trees == booster.best_iteration
    np.testing.assert_allclose(run(session(model), x)[0], booster.predict(x), atol=1e-12)


def test_one_tree_of_one_leaf_is_a_constant() -> None:
    x, y = table(np.random.default_rng(0))
    booster = fit(x, y, 1, min_data_in_leaf=1000)
    model, reference = check_parity(booster, x)
    assert (reference.forest.root < 0).all()
    np.testing.assert_allclose(run(session(model), x)[0], y.mean(), rtol=1e-12)


def test_cross_entropy_on_shares_is_exported() -> None:
    x, y = table(np.random.default_rng(0))
    check_parity(fit(x, 0.1 + 0.8 * y, 5, objective="cross_entropy"), x)


@pytest.mark.parametrize("missing", [{}, {"use_missing": False}])
def test_an_infinite_value_follows_a_split_on_being_missing(missing: dict[str, bool]) -> None:
    x = np.array([[np.nan], [0], [1], [2]] * 50, np.float32)
    booster = fit(x, np.isnan(x[:, 0]).astype(int), 2, min_data_in_leaf=1, **missing)
    assert missing or np.isinf(parse(booster.model_to_string()).threshold).any()
    check_parity(booster, np.concatenate([x, np.array([[np.inf], [-np.inf]], np.float32)]))


@pytest.mark.parametrize("threshold", ["0", "5e-36", "-5e-36", "-1.0000000180025095e-35", "-1e-34", "1e300", "-1e300"])
def test_a_threshold_within_or_beyond_what_lightgbm_reads_as_zero_keeps_its_rows(threshold: str) -> None:
    x = np.array([[-1], [-1e-35], [-1e-36], [0], [1e-36], [1e-35], [1], [np.nan], [np.inf], [-np.inf]], np.float32)
    text = fit(np.repeat(x[[0, 6]], 20, axis=0), np.repeat([0, 1], 20), 1, num_leaves=2).model_to_string()
    was = next(line for line in text.splitlines() if line.startswith("threshold="))
    check_parity(lgb.Booster(model_str=text.replace(was, f"threshold={threshold}")), x)


def test_a_fraction_of_a_category_is_cut_off_towards_zero() -> None:
    x = np.array([[0], [1], [2], [3]] * 20, np.float32)
    data = lgb.Dataset(x, np.isin(x[:, 0], [0, 2]), categorical_feature=[0])
    sets = {"max_cat_to_onehot": 1, "cat_smooth": 1, "min_data_per_group": 1}
    booster = lgb.train({"objective": "binary", "min_data_in_leaf": 1, "num_leaves": 2, **sets, **QUIET}, data, 1)
    odd = np.array([[-0.5], [-0.999], [-1], [0.999], [1.5], [2.999], [3.5], [4], [1e30], [np.nan]], np.float32)
    _, reference = check_parity(booster, np.concatenate([x, odd]))
    assert set(reference.forest.categories[0]) == {0, 2}
    with_0 = (reference.leaves(odd) == reference.leaves(x[:1]))[:, 0]
    assert odd[with_0, 0].tolist() == odd[[0, 1, 3, 5], 0].tolist()


def test_many_trees_that_a_baseline_cancels_lose_no_digits() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    booster = fit(x, (x[:, 0] > 0).astype(int), 400, boost_from_average=False)
    trees = booster.predict(x, raw_score=True)
    formula = CalibratedLogOdds(LogLinear(-float(trees.max()), dict.fromkeys("abc", 0.0)))
    model = session(build(parse(booster.model_to_string()), formula, name="model"))
    _, log_odds = run(model, x)
    assert trees.max() > 7
    near_zero = trees > trees.max() - 0.1
    np.testing.assert_allclose(log_odds[near_zero], (trees - trees.max())[near_zero], atol=2e-6)


def test_baseline_calibration_and_limit_are_in_every_variant() -> None:
    x, y = table(np.random.default_rng(0))
    baseline = LogLinear(-0.4, dict(zip("abcdefg", [0.5, -0.2, 0.1, 0.0, 0.01, 0.3, 1e-9], strict=True)))
    start = baseline.log_odds(x)
    data = lgb.Dataset(x, y, init_score=start)
    booster = lgb.train({"objective": "binary", "boost_from_average": False, **QUIET}, data, 10)
    formula = CalibratedLogOdds(baseline, Calibration(0.8, 0.3), limit=1.5)
    model, _ = check_parity(booster, x, formula)
    by_hand = np.clip(0.8 * (start + booster.predict(x, raw_score=True)) + 0.3, -1.5, 1.5)
    np.testing.assert_allclose(run(session(model), x)[1], by_hand, atol=1e-12)
    assert 0 < (np.abs(by_hand) == 1.5).sum() < len(by_hand)


def test_the_same_model_gives_the_same_bytes() -> None:
    x, y = table(np.random.default_rng(0))
    texts = [fit(x, y, 5, categorical=True).model_to_string() for _ in range(2)]
    for variant in VARIANTS:
        first, second = (
            build(parse(text), PLAIN, name="model", variant=variant, typical=np.zeros(7)).SerializeToString(
                deterministic=True
            )
            for text in texts
        )
        assert first == second


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"linear_tree": True}, "tree 0 is linear"),
        ({"objective": "regression"}, "objective 'regression' has no log-odds"),
        ({"objective": "cross_entropy_lambda"}, "has no log-odds"),
        ({"objective": "multiclass", "num_class": 3}, "has 3 classes"),
    ],
)
def test_a_booster_that_no_graph_would_follow_is_refused_with_the_reason(params: dict[str, Any], reason: str) -> None:
    x, y = table(np.random.default_rng(0))
    booster = fit(np.nan_to_num(x[:, :2]), y, 2, **params)
    with pytest.raises(ModelNotExportable, match=reason):
        parse(booster.model_to_string())


def test_a_category_that_float32_cannot_hold_is_refused() -> None:
    x = np.array([[2**24 + 2], [1], [5]] * 40, np.float64)
    data = lgb.Dataset(x, [1, 0, 0] * 40, categorical_feature=[0], params={"min_data_per_group": 1})
    booster = lgb.train({"objective": "binary", "min_data_in_leaf": 1, **QUIET}, data, 1)
    with pytest.raises(ModelNotExportable, match="category 16777218"):
        parse(booster.model_to_string())


def test_a_column_read_in_two_ways_is_refused() -> None:
    x, y = table(np.random.default_rng(0))
    first = fit(x[:, :2], y, 2, zero_as_missing=True)
    mixed = lgb.train({"objective": "binary", **QUIET}, lgb.Dataset(x[:, :2], y), 2, init_model=first)
    with pytest.raises(ModelNotExportable, match="with and without zero as a missing value"):
        parse(mixed.model_to_string())


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(ModelNotExportable, match="not a LightGBM model"):
        parse("{}")
