"""Sensor and place together: calibrated on the simulated theatre's truth, and better than either alone."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit

from pipeline.evaluate import fusion
from pipeline.model.skill_records import FusionSkill
from pipeline.params import Evaluate
from pipeline.simulate import sensors
from pipeline.validation.bootstrap import BlockDraws
from threat_scorer.scoring.decision import fuse

SETTINGS = Evaluate(
    area_shares=[0.01],
    alarm_shares=[0.05, 0.1],
    alarms_per_m2=[0.1],
    logistic_ridge=1.0,
    calibration_bins=10,
    bootstrap_samples=100,
    seed=7,
)
LANES, ALARMS = 40, 6_000


@pytest.fixture(scope="module")
def fusion_skill() -> FusionSkill:
    """Return the skill of a sensor model that is as good as can be, with and without the prior of each alarm."""
    random = np.random.default_rng(3)
    lane = np.arange(ALARMS) % LANES
    prior = expit(random.normal(-1.5, 1.5, ALARMS))
    base_rate = float(prior.mean())
    effect = random.normal(0, 1, (LANES, len(sensors.LANE_EFFECTS)))[lane]
    alarms = sensors.sense(prior, effect, random.normal(0, 1, ALARMS), base_rate=base_rate, random=random)
    record = [f"r{n}" for n in range(ALARMS)]
    with_prior = alarms.log_odds + logit(prior) - logit(base_rate)
    truth = pa.table({"record_id": record[::-1], "prior": prior[::-1], "log_odds_with_prior": with_prior[::-1]})
    rows = pa.table({"record_id": record})
    draws = BlockDraws.of(lane, samples=SETTINGS.bootstrap_samples, seed=SETTINGS.seed)
    return fusion.evaluate(rows, truth, alarms.log_odds, alarms.is_hazard, draws, SETTINGS)


def test_the_posterior_is_calibrated_against_the_truth(fusion_skill: FusionSkill) -> None:
    assert fusion_skill.models["fused"].ece <= 0.02
    assert fusion_skill.models["fused"].log_loss == pytest.approx(fusion_skill.models["oracle"].log_loss, abs=1e-3)


def test_the_posterior_is_better_than_sensor_or_prior_alone_by_the_whole_interval(fusion_skill: FusionSkill) -> None:
    for alone in ("sensor", "prior"):
        assert fusion_skill.log_loss_differences[alone].high < 0
        assert fusion_skill.models["fused"].roc_auc > fusion_skill.models[alone].intervals["roc_auc"].high


@pytest.mark.parametrize("sensor", [-3.0, 0.0, 2.5])
def test_a_cell_without_a_prior_counts_as_the_base_rate_and_says_so(sensor: float) -> None:
    alone, usual = fuse(sensor, None, base_rate=0.2), fuse(sensor, float(logit(0.2)), base_rate=0.2)
    assert alone.probability == pytest.approx(usual.probability)
    assert (alone.prior_log_odds, usual.prior_log_odds) == (None, pytest.approx(logit(0.2)))
