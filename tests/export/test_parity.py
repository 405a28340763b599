"""The gate against planted faults: for any change in an exported file, the gate ends the export and names the place."""

from collections.abc import Callable
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest
from onnx import ModelProto, helper

from pipeline.export.explanations import expected_log_odds
from pipeline.export.gate import parity
from pipeline.export.gate.parity import Parity, ParityError, check, check_explanations, run, session
from pipeline.export.gate.reference import Reference
from pipeline.export.gate.rows import adversarial_rows, threshold_rows
from pipeline.export.graph import build
from pipeline.export.trees import parse
from pipeline.model.log_odds import UNCALIBRATED, CalibratedLogOdds, Calibration, LogLinear, clipped

FEATURES = ["voltage", "height", "depth", "soil"]
FORMULA = CalibratedLogOdds(
    LogLinear(0.1, dict(zip(FEATURES, [0.4, 0.0, 0.2, 0.0], strict=True))), Calibration(0.9, -0.05)
)
TYPICAL = np.array([0.1, 0.2, 0.3, 0.0])


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    x[rng.random(500) < 0.3, 2] = np.nan
    x[:, 3] = rng.integers(0, 9, 500)
    y = (x[:, 0] - x[:, 1] + np.isnan(x[:, 2]) + (x[:, 3] % 2) > 0.5).astype(int)
    data = lgb.Dataset(x, y, feature_name=FEATURES, categorical_feature=[3], params={"min_data_per_group": 5})
    params = {"objective": "binary", "num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": 1}
    booster = lgb.train(params, data, 20)
    return Reference(booster, parse(booster.model_to_string()), FORMULA)


@pytest.fixture(scope="module")
def rows(reference: Reference) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    x[:, 3] = rng.integers(0, 9, 300)
    forest = reference.forest
    return {
        "test": x,
        "threshold": threshold_rows(forest, x, reference.leaves(x)),
        "adversarial": adversarial_rows(forest, 2000, rng),
    }


def gate(model: ModelProto, reference: Reference, rows: dict[str, np.ndarray], **points: float) -> Parity:
    parts = {kind: [matrix] for kind, matrix in rows.items()}
    return check(model, reference, parts, operating_points=points, tolerance=1e-6)


def attribute(model: ModelProto, name: str):
    trees = next(node for node in model.graph.node if node.name == "trees")
    return next(a for a in trees.attribute if a.name == name)


def constant(model: ModelProto, name: str):
    return next(value for value in model.graph.initializer if value.name == name)


def thresholds_to_nearest(model: ModelProto, reference: Reference) -> None:
    values = attribute(model, "nodes_values").floats
    exact = reference.forest.threshold
    for i, value in enumerate(values):
        match = exact[np.nextafter(np.float32(value), np.float32(np.inf)) == exact.astype(np.float32)]
        if len(match) and np.float32(value) < match[0]:
            values[i] = float(np.float32(match[0]))


def missing_goes_the_other_way(model: ModelProto, reference: Reference) -> None:
    directions = attribute(model, "nodes_missing_value_tracks_true").ints
    columns = attribute(model, "nodes_featureids").ints
    modes = attribute(model, "nodes_modes").strings
    node = next(i for i, mode in enumerate(modes) if mode == b"BRANCH_LEQ" and columns[i] == 2)
    directions[node] = 1 - directions[node]


def features_swapped(model: ModelProto, reference: Reference) -> None:
    columns = attribute(model, "nodes_featureids").ints
    for i, column in enumerate(columns):
        columns[i] = {0: 1, 1: 0}.get(column, column)


def one_category_lost(model: ModelProto, reference: Reference) -> None:
    node = list(attribute(model, "nodes_modes").strings).index(b"BRANCH_EQ")
    attribute(model, "nodes_values").floats[node] = 8.5


def a_leaf_changed(model: ModelProto, reference: Reference) -> None:
    attribute(model, "target_weights").floats[5] += 1e-4


def calibration_lost(model: ModelProto, reference: Reference) -> None:
    without = build(reference.forest, replace(FORMULA, calibration=UNCALIBRATED), name="model")
    for name in ("tree_slopes", "baseline_weights", "intercept"):
        constant(model, name).CopyFrom(constant(without, name))


def baseline_weights_moved(model: ModelProto, reference: Reference) -> None:
    constant(model, "baseline_weights").CopyFrom(helper.make_tensor("baseline_weights", 11, [4, 1], [0, 0.4, 0.2, 0]))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            thresholds_to_nearest,
            r"threshold row \d+, tree \d+, node \d+: \w+ = .* LightGBM goes right .* ONNX goes left",
        ),
        (missing_goes_the_other_way, r"row \d+, tree 0, node \d+: depth = nan, .* LightGBM goes"),
        (features_swapped, r"test row 0, tree 0, node \d+: (voltage|height) = .*\(\d+ of 6000 leaves differ"),
        (one_category_lost, r"test row \d+, tree \d+, node \d+: soil = \d.0, one of \["),
        (a_leaf_changed, r"row \d+: probability .* Every leaf agrees"),
        (calibration_lost, r"test row 0: probability .* Every leaf agrees"),
        (baseline_weights_moved, r"test row 0: probability .* Every leaf agrees"),
    ],
)
def test_a_planted_fault_ends_the_export(
    reference: Reference,
    rows: dict[str, np.ndarray],
    fault: Callable[[ModelProto, Reference], None],
    message: str,
) -> None:
    model = build(reference.forest, FORMULA, name="model")
    gate(model, reference, rows)
    fault(model, reference)
    with pytest.raises(ParityError, match=message):
        gate(model, reference, rows)


@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize("batch", [4, 128])
def test_the_result_is_the_same_for_any_number_of_workers_and_any_batch(
    reference: Reference, rows, monkeypatch: pytest.MonkeyPatch, workers: str, batch: int
) -> None:
    model = build(reference.forest, FORMULA, name="model")
    wrong = build(reference.forest, FORMULA, name="model")
    thresholds_to_nearest(wrong, reference)
    monkeypatch.setattr(parity, "_PART", 500)
    expected = gate(model, reference, rows, alarm=0.4)
    with pytest.raises(ParityError) as refused:
        gate(wrong, reference, rows)
    monkeypatch.setenv("PIPELINE_WORKERS", workers)
    monkeypatch.setattr(parity, "_BATCH", batch)
    assert gate(model, reference, rows, alarm=0.4) == expected
    with pytest.raises(ParityError) as again:
        gate(wrong, reference, rows)
    assert str(again.value) == str(refused.value)


def test_leaves_that_do_not_add_up_to_the_boosters_score_end_the_export(reference: Reference, rows) -> None:
    model = build(reference.forest, FORMULA, name="model")
    values = reference.forest.leaf_value.copy()
    values[0] = np.nextafter(values[0], np.inf)
    apart = replace(reference, forest=replace(reference.forest, leaf_value=values))
    with pytest.raises(ParityError, match=r"test row \d+: LightGBM's leaves add up to .* expected its raw score"):
        gate(model, apart, rows)


def test_test_rows_alone_would_miss_thresholds_rounded_to_nearest(reference: Reference, rows) -> None:
    model = build(reference.forest, FORMULA, name="model")
    thresholds_to_nearest(model, reference)
    gate(model, reference, {"test": rows["test"]})


def test_the_named_node_is_the_first_divergence(reference: Reference, rows: dict[str, np.ndarray]) -> None:
    model = build(reference.forest, FORMULA, name="model")
    attribute(model, "nodes_values").floats[0] -= 1.0  # the root of the first tree
    feature = FEATURES[reference.forest.feature[0]]
    with pytest.raises(ParityError, match=rf"tree 0, node 0: {feature} = .* LightGBM goes left .* ONNX goes right"):
        gate(model, reference, {"test": rows["test"]})


def test_an_operating_point_on_a_score_is_moved_clear_of_it(reference: Reference, rows: dict[str, np.ndarray]) -> None:
    model = build(reference.forest, FORMULA, name="model")
    probability = 1 / (1 + np.exp(-reference.log_odds(rows["test"])))
    exported, _ = run(session(model), rows["test"])
    row = int(np.argmax(probability - exported))
    requested = float(probability[row])
    assert exported[row] < requested
    settled = gate(model, reference, {"test": rows["test"]}, alarm=requested).operating_points["alarm"]
    assert 0 < abs(settled - requested) <= 1e-5
    np.testing.assert_array_equal(exported >= settled, probability >= settled)


def test_an_operating_point_clear_of_scores_stays(reference: Reference, rows: dict[str, np.ndarray]) -> None:
    model = build(reference.forest, FORMULA, name="model")
    assert gate(model, reference, rows, alarm=1.0).operating_points == {"alarm": 1.0}


@pytest.mark.parametrize("variant", ["field", "large_categories"])
def test_contributions_add_up_and_are_given_only_on_request(reference: Reference, rows, variant: str) -> None:
    model = build(reference.forest, FORMULA, name="model", variant=variant, typical=TYPICAL)
    gate(model, reference, rows)
    assert check_explanations(model, reference, rows["test"], typical=TYPICAL) <= 1e-6
    opened = session(model)
    assert [entry.name for entry in opened.get_inputs()] == ["features"]
    assert opened.run(["contributions"], {"features": rows["test"]})[0].shape == (0, 4)


def test_contributions_of_one_split_are_the_step_from_the_mean() -> None:
    x = np.array([[0, 5], [0, 6], [0, 7], [1, 5]] * 10, np.float32)
    y = (x[:, 0] > 0).astype(int)
    params = {"objective": "binary", "verbosity": -1, "min_data_in_leaf": 1, "num_leaves": 2, "num_threads": 1}
    booster = lgb.train(params, lgb.Dataset(x, y), 1)
    forest = parse(booster.model_to_string())
    low, high = (booster.predict(x[i : i + 1], raw_score=True)[0] for i in (0, 3))
    mean = 0.75 * low + 0.25 * high
    assert expected_log_odds(forest) == pytest.approx(mean)
    model = session(build(forest, CalibratedLogOdds(), name="model", typical=np.zeros(2)))
    given = model.run(["contributions"], {"features": x[[0, 3]], "explain": np.array(True)})[0]
    np.testing.assert_allclose(given, [[low - mean, 0], [high - mean, 0]], atol=1e-7)


def test_contributions_that_do_not_add_up_end_the_export(reference: Reference, rows: dict[str, np.ndarray]) -> None:
    model = build(reference.forest, FORMULA, name="model", typical=TYPICAL)
    with pytest.raises(ParityError, match="row 0: contributions add up to"):
        check_explanations(model, reference, rows["test"], typical=TYPICAL + 1)


def test_a_baseline_clips_missing_and_infinite_values() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 2.5]], np.float32)
    np.testing.assert_array_equal(clipped(values), [[0, 2.0**24, -(2.0**24), 2.5]])
