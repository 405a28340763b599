"""The area prior: made of the latest cutoff, looked up by cell, and fused with a sensor's log-odds."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signed_bundle import CELLS, NOW, Headquarters
from support.tiny_bundle import AREA, CONTRACT, write_bundle

from pipeline.runtime import local_days
from pipeline.sign import prior as priors
from threat_scorer.bundle.manifest import PriorTerms
from threat_scorer.bundle.prior import Prior, PriorError
from threat_scorer.device import slots
from threat_scorer.device.provisioning import provision
from threat_scorer.errors import RecordError
from threat_scorer.scoring.decision import fuse
from threat_scorer.scoring.scorer import Scorer

TERMS = PriorTerms("2026-01-01T00:00:00Z", "2026-01-29T00:00:00Z", 5)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """Return the scorer of a device on which a bundle was installed."""
    folder = tmp_path_factory.mktemp("headquarters")
    office = Headquarters(folder)
    provision(folder / "state", office.trust_file(), partner=None, now=NOW)
    slots.install(folder / "state", office.bundle(1), now=NOW)
    return slots.load(folder / "state", now=NOW).scorer


def test_it_has_the_area_models_log_odds_of_each_cell_at_the_latest_cutoff(scorer):
    assert scorer.prior.terms == TERMS
    assert scorer.prior.cells.tolist() == sorted(int(cell, 16) for cell in CELLS)
    # one stump on one feature: a recent event gives +0.5, none -0.5
    assert [scorer.prior.at(cell) for cell in CELLS] == [0.5, -0.5, -0.5]
    assert scorer.prior.at(int(CELLS[0], 16)) == 0.5


def test_it_is_mapped_from_the_file_and_not_copied(scorer):
    assert not scorer.prior.cells.flags.owndata
    assert not scorer.prior.cells.flags.writeable


def test_sensor_and_place_are_fused_by_bayes_rule(scorer):
    posterior = scorer.posterior("sensor_threat", 1.25, cell=CELLS[0])
    base = math.log(CONTRACT.base_rate / (1 - CONTRACT.base_rate))
    assert posterior.log_odds == pytest.approx(1.25 + 0.5 - base)
    assert (posterior.sensor_log_odds, posterior.prior_log_odds) == (1.25, 0.5)
    assert posterior.probability == pytest.approx(1 / (1 + math.exp(-posterior.log_odds)))


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.floats(0.01, 100))
def test_fusing_equals_counting(base_rate, prior, ratio):
    """A reading `ratio` times as likely over a hazard as over none, where a share `prior` of alarms are hazards."""
    odds = ratio * base_rate / (1 - base_rate)
    posterior = fuse(math.log(odds), math.log(prior / (1 - prior)), base_rate=base_rate)
    assert posterior.probability == pytest.approx(ratio * prior / (ratio * prior + 1 - prior))


@pytest.mark.parametrize("cell", ["8f283473fffffff", 0, 2**64 - 1])
def test_where_there_is_no_prior_the_sensors_log_odds_stand_alone(scorer, cell):
    posterior = scorer.posterior("sensor_threat", -800.0, cell=cell)
    assert (posterior.log_odds, posterior.prior_log_odds, posterior.probability) == (-800.0, None, 0.0)


def test_a_bundle_without_a_prior_leaves_the_sensor_alone(tmp_path):
    scorer = Scorer.load(write_bundle(tmp_path, CONTRACT, AREA))
    assert scorer.prior is None
    assert scorer.posterior("sensor_threat", 1.0, cell=CELLS[0]).log_odds == 1.0


@pytest.mark.parametrize("cell", ["", "north", -1, 1.5, 2**64, "1" * 99, None])
def test_a_value_that_is_no_cell_is_refused(scorer, cell):
    with pytest.raises(RecordError, match="expected an H3 cell"):
        scorer.posterior("sensor_threat", 1.0, cell=cell)


@pytest.mark.parametrize(
    ("cells", "log_odds"), [([], []), ([1, 2], [0.0]), ([2, 1], [0.0, 0.0]), ([1, 1], [0.0, 0.0]), ([1], [math.nan])]
)
def test_arrays_that_cannot_be_searched_are_refused(cells, log_odds):
    with pytest.raises(PriorError):
        Prior(TERMS, np.array(cells, np.uint64), np.array(log_odds, np.float32))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40, unique=True), st.data())
def test_every_cell_is_found_and_no_other(cells, data):
    ordered = sorted(cells)
    prior = Prior(TERMS, np.array(ordered, np.uint64), np.arange(len(cells), dtype=np.float32))
    cell = data.draw(st.sampled_from(ordered) | st.integers(0, 2**64 - 1))
    assert prior.at(cell) == (float(ordered.index(cell)) if cell in ordered else None)


def test_it_is_valid_for_days_of_the_theatre_whose_clocks_change(tmp_path):
    cutoff = local_days.midnight(date(2026, 3, 15), "Asia/Beirut")
    field = pa.field("cutoff", pa.timestamp("us", "UTC"))
    names = ("cell", "ied_count_decay30d")
    rows = pa.schema([field, pa.field(names[0], pa.string()), pa.field(names[1], pa.float32())])
    schema = local_days.in_zone(rows, "Asia/Beirut")
    features = tmp_path / "area_risk.parquet"
    pq.write_table(pa.table([[cutoff], [CELLS[0]], [1.0]], schema=schema), features)
    scorer = Scorer.load(write_bundle(tmp_path / "models", AREA))
    terms = priors.of_latest_cutoff("area_risk_28d", features, scorer).terms
    # 28 days on, forward by an hour between
    assert (terms.cutoff, terms.until) == ("2026-03-14T22:00:00Z", "2026-04-11T21:00:00Z")


def test_a_prior_without_a_horizon_ends_at_its_cutoff(tmp_path):
    models = write_bundle(tmp_path / "models", replace(AREA, horizon_days=None))
    made = priors.of_latest_cutoff("area_risk_28d", Headquarters(tmp_path).features(), Scorer.load(models))
    assert made.terms.until == made.terms.cutoff
