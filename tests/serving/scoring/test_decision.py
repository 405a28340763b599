"""A model's output becomes a prediction by one rule, for a record and for rows; a probability becomes an alarm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from threat_scorer.scoring.decision import (
    Decision,
    IntervalAndNovelty,
    ModelOutput,
    Prediction,
    decide,
    fuse,
    logit,
    predict,
)

PROBABILITIES = st.floats(2**-10, 1 - 2**-10, width=32)
NOVELTIES = st.floats(0, 4, width=32) | st.just(1.0)
ROWS = st.lists(st.tuples(PROBABILITIES, NOVELTIES, st.booleans()), min_size=1, max_size=20)


def output_of(probability: float, novelty: float) -> ModelOutput[float]:
    log_odds = float(np.float32(logit(probability)))
    return ModelOutput(probability, log_odds, log_odds, IntervalAndNovelty(probability / 2, probability, novelty))


@given(PROBABILITIES, NOVELTIES, st.booleans(), st.booleans())
def test_a_record_is_novel_over_the_limit_or_out_of_range_and_withheld_only_by_policy(
    probability: float, novelty: float, outside: bool, abstains: bool
) -> None:
    output = output_of(probability, novelty)
    prediction = predict(output, outside, abstains=abstains)
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.novel is (outside or novelty > 1)
    assert prediction.uncertainty.abstained is (abstains and prediction.uncertainty.novel)
    assert prediction.uncertainty.novelty == novelty
    shown = (*prediction[:2], *prediction.uncertainty[:2])
    if prediction.uncertainty.abstained:
        assert all(map(math.isnan, shown))
    else:
        assert shown == (probability, output.log_odds, probability / 2, probability)


@given(ROWS, st.booleans())
def test_rows_are_decided_as_each_of_them_alone(rows: list[tuple[float, float, bool]], abstains: bool) -> None:
    outputs = [output_of(probability, novelty) for probability, novelty, _ in rows]
    together = ModelOutput(
        *(np.array([output[i] for output in outputs], np.float32) for i in range(3)),
        IntervalAndNovelty(*np.array([output.interval_and_novelty for output in outputs], np.float32).T),
    )
    outside = np.array([row[2] for row in rows])
    prediction = predict(together, outside, abstains=abstains)
    assert prediction.uncertainty is not None
    for i, (output, (_, _, out_of_range)) in enumerate(zip(outputs, rows, strict=True)):
        alone = predict(output, out_of_range, abstains=abstains)
        assert alone.uncertainty is not None
        np.testing.assert_array_equal([column[i] for column in prediction[:3]], alone[:3])
        np.testing.assert_array_equal([column[i] for column in prediction.uncertainty], alone.uncertainty)


def test_a_model_without_uncertainty_neither_doubts_nor_abstains() -> None:
    assert predict(ModelOutput(0.7, 0.8, 0.9), True, abstains=False) == Prediction(0.7, 0.8, 0.9, None)


@pytest.mark.parametrize(("probability", "alarm"), [(0.2, True), (math.nextafter(0.2, 0), False), (0.9, True)])
def test_a_probability_at_the_threshold_is_an_alarm(probability: float, alarm: bool) -> None:
    assert decide(probability, "pd_90", 0.2) == Decision(alarm, "pd_90", 0.2)


@given(
    likelihoods=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    prior=st.floats(0.01, 0.99),
    rate=st.floats(0.01, 0.99),
)
def test_sensor_and_place_are_fused_by_bayes_rule(likelihoods: tuple[float, float], prior: float, rate: float) -> None:
    hazard, none = likelihoods
    sensor = logit(hazard * rate / (hazard * rate + none * (1 - rate)))
    expected = hazard * prior / (hazard * prior + none * (1 - prior))
    assert fuse(sensor, logit(prior), base_rate=rate).probability == pytest.approx(expected, rel=1e-9)
    assert fuse(sensor, None, base_rate=rate).log_odds == sensor
