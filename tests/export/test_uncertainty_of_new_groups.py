"""Intervals and novelty, as fitted: their stated rates hold for groups that the fit did not see."""

import numpy as np
import pytest
from export.sensor_alarms import EMI, NAMES, alarms, groups_of, usual_novelty
from scipy.special import expit

from pipeline.model import intervals, novelty
from pipeline.model.novelty import Novelty


@pytest.fixture(scope="module")
def usual() -> Novelty:
    return usual_novelty()


def test_new_groups_have_the_requested_share_of_false_flags(usual: Novelty) -> None:
    fresh = alarms(20_000, 2).astype(np.float64)
    novel, blind = usual.of(fresh) > 1, np.isnan(fresh[:, 2])
    assert novel[blind].mean() == pytest.approx(0.02, abs=0.01)
    assert novel[~blind].mean() == pytest.approx(0.02, abs=0.01)


def test_inputs_that_do_not_go_together_are_novel_though_each_is_usual(usual: Novelty) -> None:
    inputs = alarms(2000, 3).astype(np.float64)
    complete = inputs[~np.isnan(inputs[:, 2])]
    complete[:, 3] = -complete[:, 3]
    assert (usual.of(complete) > 1).mean() > 0.7
    without = complete.copy()
    without[:, 2:] = np.nan
    assert (usual.of(without) > 1).mean() < 0.05
    half = complete.copy()
    half[:, 3] = np.nan  # a modality of which a part is missing counts as missing
    np.testing.assert_allclose(usual.of(half), usual.of(without))


def test_a_distance_is_that_of_mahalanobis() -> None:
    inputs = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[1.0, 0.8], [0.0, 0.3]])
    fitted = novelty.fit(inputs, ["a", "b"], groups_of(5, 500), optional=[], false_flags=0.5, folds=5)
    away = inputs - inputs.mean(axis=0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.cov(inputs.T)), away))
    ratio = fitted.of(inputs) / expected
    assert ratio.std() / ratio.mean() < 0.05  # shrinking and the limit aside, it is the same


def test_a_modality_too_rare_to_learn_is_left_aside() -> None:
    inputs = alarms(300, 4).astype(np.float64)
    inputs[:, 2:] = np.nan
    inputs[:5, 2:] = 0.1
    fitted = novelty.fit(inputs, NAMES, groups_of(6, 300), optional=EMI, false_flags=0.05, folds=3)
    np.testing.assert_array_equal(fitted.whitening[0], fitted.whitening[1])


def shifted_groups(count: int, size: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log-odds, outcomes and groups, each group's outcomes shifted against its predictions."""
    random = np.random.default_rng(seed)
    predicted, shift = random.normal(-0.5, 1.5, (count, size)), random.normal(0, spread, (count, 1))
    outcome = random.random((count, size)) < expit(predicted + shift)
    return predicted.ravel(), outcome.ravel(), np.repeat(np.arange(count), size)


def test_an_interval_covers_the_probability_in_its_level_of_new_groups() -> None:
    table = intervals.fit(*shifted_groups(60, 60, 0.8, 1), level=0.9)
    assert table.group_spread == pytest.approx(0.8, abs=0.2)
    random = np.random.default_rng(2)
    predicted = np.linspace(-3, 3, 50)
    low, high = table.of(predicted)
    shift = random.normal(0, 0.8, (2000, 1))
    covered = ((low <= predicted + shift) & (predicted + shift <= high)).mean()
    assert covered == pytest.approx(0.9, abs=0.06)


def test_groups_that_agree_leave_a_narrow_interval_with_the_probability_inside() -> None:
    predicted, outcome, group = shifted_groups(40, 250, 0.0, 3)
    table = intervals.fit(predicted, outcome, group, level=0.9)
    low, high = table.of(predicted)
    assert (low <= predicted).all()
    assert (predicted <= high).all()
    assert (expit(high) - expit(low)).mean() < 0.1


def test_venn_abers_counts_the_row_in_question_as_a_miss_and_as_a_hit() -> None:
    low, high = intervals._venn_abers(np.array([1.0, 3.0]), np.array([4.0, 4.0]))
    np.testing.assert_allclose(low, [1 / 5, 3 / 5])
    np.testing.assert_allclose(high, [2 / 5, 4 / 5])
    # one more hit below pools the two steps, as the lower would be the higher otherwise
    low, high = intervals._venn_abers(np.array([2.0, 2.0]), np.array([4.0, 4.0]))
    np.testing.assert_allclose(high, [5 / 9, 3 / 5])
