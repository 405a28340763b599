"""The record of one line: everything that belongs to a score, or why there is none; and clocks that are wrong."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_bundle import AREA, CONTRACT, INPUTS, log_odds, write_bundle

from threat_scorer import Scorer
from threat_scorer.bundle.manifest import PriorTerms
from threat_scorer.bundle.prior import Prior
from threat_scorer.errors import ConfigError
from threat_scorer.run.clock import EARLIEST, Moment, iso
from threat_scorer.run.config.position import Position
from threat_scorer.run.record_fields import likelihood
from threat_scorer.run.record_scorer import RecordScorer
from threat_scorer.scoring.features import assemble
from threat_scorer.scoring.lines import TooLong

NOW = Moment(EARLIEST + 1000.0, False)
LINE = b'{"id": "d1", "voltage": 0.4, "height": 0.3}'


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return Scorer.load(write_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def record_scorer(scorer):
    return RecordScorer(scorer.model("sensor_threat"), bundle=scorer.bundle, device="mast", source="left")


def body(record_scorer, line, moment=NOW, **options):
    return json.loads(record_scorer.score(line, number=7, moment=moment, **options).body)


def by_hand(voltage, height):
    columns = {entry.name: [np.nan] for entry in INPUTS} | {"voltage": [voltage], "height": [height]}
    return float(log_odds(assemble("sensor_threat", columns)[1])[0])


def test_a_score_has_all_that_belongs_to_it(record_scorer, scorer):
    delivered = body(record_scorer, LINE[:-1] + b', "observed_at": "2026-01-01T01:00:00+01:00"}')
    expected = by_hand(0.4, 0.3)
    assert delivered.pop("probability") == pytest.approx(1 / (1 + math.exp(-expected)), abs=1e-6)
    assert delivered.pop("parts") == {"sensor_log_odds": pytest.approx(expected)}
    assert delivered == {
        "type": "score",
        "id": "d1",
        "input": "left",
        "observed_at": "2026-01-01T00:00:00.000000Z",
        "scored_at": "2026-01-01T00:16:40.000000Z",
        "likelihood": "almost no chance",
        "missing": ["emi_in_phase", "emi_quadrature"],
        "decision": {"alarm": False, "operating_point": "balanced", "threshold": 0.5},
        "device": "mast",
        "model": "sensor_threat",
        "model_version": "1" * 12,
        "bundle": scorer.bundle,
        "marking": {"originator": "TEST", "releasable_to": ["ALL"], "tlp": "CLEAR"},
        "simulated": True,
    }


# ---- reasons: the tiny model gives none, so here are those of another


def reasoning(scorer, monkeypatch, added, **options):
    """Return a record scorer whose model gives each feature the contribution in `added`, the others 0."""
    model = scorer.model("sensor_threat")
    row = np.array([added.get(name, 0.0) for name in CONTRACT.features], np.float32)
    real = model.predict_row

    def explained(values, prior=None, *, uncertainty=False, contributions=False):
        output = real(values, prior, uncertainty=uncertainty)
        return output._replace(contributions=row) if contributions else output

    monkeypatch.setattr(model, "predict_row", explained)
    return RecordScorer(model, bundle="b", device="mast", source="left", **options)


def test_the_strongest_reasons_are_put_in_words_what_comes_from_the_same_inputs_as_one(scorer, monkeypatch):
    added = {"voltage": 0.2, "height": -0.6, "voltage_spline_1": 1.0, "voltage_spline_2": 0.9, "emi_in_phase": -0.05}
    assert body(reasoning(scorer, monkeypatch, added), LINE)["reasons"] == [
        "voltage 0.4 with height 0.3 raises it strongly (+1.9)",
        "height 0.3 lowers it (-0.6)",
        "voltage 0.4 raises it slightly (+0.2)",
    ]
    missing = reasoning(scorer, monkeypatch, {"emi_in_phase": -1.5, "emi_quadrature": 0.09})
    assert body(missing, LINE)["reasons"] == ["emi_in_phase missing lowers it strongly (-1.5)"]


def test_what_was_known_of_the_place_is_a_reason_too(scorer, monkeypatch):
    terms = PriorTerms("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", 5)
    prior = Prior(terms, np.array([int(CELL, 16)], np.uint64), np.array([2.5], np.float32))
    record_scorer = reasoning(scorer, monkeypatch, {"voltage": 1.0}, prior=prior)
    expected = 2.5 - math.log(0.25 / 0.75)
    assert body(record_scorer, at_cell(CELL))["reasons"] == [
        f"the place raises it strongly (+{expected:.1f})",
        "voltage 0.4 raises it (+1.0)",
    ]


def test_reasons_can_be_left_to_alarms_or_out(tmp_path, monkeypatch):
    points = Scorer.load(write_bundle(tmp_path, replace(CONTRACT, operating_points={"always": 0.0, "never": 1.0})))
    for reasons, quiet, loud in (("all", True, True), ("alarms", False, True), ("none", False, False)):
        for point, expected in (("never", quiet), ("always", loud)):
            record_scorer = reasoning(points, monkeypatch, {"voltage": 1.0}, reasons=reasons, point=point)
            assert ("reasons" in body(record_scorer, LINE)) is expected


def test_a_model_that_cannot_say_why_gives_no_reasons(record_scorer):
    assert "reasons" not in body(record_scorer, LINE)


CELL = "85283473fffffff"


def with_prior(scorer, until="2026-02-01T00:00:00Z"):
    terms = PriorTerms("2026-01-01T00:00:00Z", until, 5)
    prior = Prior(terms, np.array([int(CELL, 16)], np.uint64), np.array([2.5], np.float32))
    model = scorer.model("sensor_threat")
    return RecordScorer(model, bundle=scorer.bundle, device="mast", source="left", prior=prior)


def at_cell(cell):
    return json.dumps({"id": "d1", "voltage": 0.4, "height": 0.3, "cell": cell}).encode()


def test_what_was_known_of_the_place_goes_into_the_score_and_stands_beside_it(scorer):
    delivered = body(with_prior(scorer), at_cell(CELL))
    sensor = by_hand(0.4, 0.3)
    log_odds = sensor + 2.5 - math.log(0.25 / 0.75)  # of the base rate
    assert delivered["parts"] == {"sensor_log_odds": pytest.approx(sensor), "prior_log_odds": 2.5}
    assert delivered["probability"] == pytest.approx(1 / (1 + math.exp(-log_odds)))
    assert "prior_doubt" not in delivered


@pytest.mark.parametrize(
    ("cell", "until", "doubt"),
    [
        ("8528347bfffffff", "2026-02-01T00:00:00Z", "not in the prior"),
        ("somewhere", "2026-02-01T00:00:00Z", "not an H3 cell"),
        ([1], "2026-02-01T00:00:00Z", "not an H3 cell"),
        (CELL, "2026-01-01T00:00:00Z", "until 2026-01-01"),
        (None, "2026-02-01T00:00:00Z", "none given"),
    ],
)
def test_a_place_that_is_lost_or_a_prior_out_of_date_is_noted_and_costs_no_score(scorer, cell, until, doubt):
    fields = body(with_prior(scorer, until), at_cell(cell))
    assert doubt in fields["prior_doubt"]
    assert ("prior_log_odds" in fields["parts"]) is (cell == CELL)


def test_a_line_that_cannot_be_scored_is_delivered_with_the_reason(record_scorer):
    delivered = body(record_scorer, b'{"id": "d1", "voltage": 0.4}')
    assert (delivered["type"], delivered["id"], delivered["line"], delivered["input"]) == ("rejection", "d1", 7, "left")
    assert "height" in delivered["error"]
    assert "longer than" in body(record_scorer, TooLong())["error"]
    assert "64 bits" in body(record_scorer, b'{"id": %d, "voltage": 0.4, "height": 0.3}' % 2**64)["error"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"latitude_deg": 4.5, "longitude_deg": -74}, {"position": {"latitude_deg": 4.5, "longitude_deg": -74}}),
        ({"latitude_deg": 4.5}, {"position_doubt": "longitude_deg: not within -180 to 180"}),
        ({"latitude_deg": "4.5", "longitude_deg": 1}, {"position_doubt": "latitude_deg: not within -90 to 90"}),
        ({"latitude_deg": 91, "longitude_deg": 1}, {"position_doubt": "latitude_deg: not within -90 to 90"}),
        ({"latitude_deg": True, "longitude_deg": 1}, {"position_doubt": "latitude_deg: not within -90 to 90"}),
    ],
)
def test_a_position_goes_with_the_score_and_one_that_cannot_be_costs_none(record_scorer, given, expected):
    fields = body(record_scorer, json.dumps({"voltage": 0.4, "height": 0.3, **given}).encode())
    assert {key: fields[key] for key in ("position", "position_doubt") if key in fields} == expected
    assert "probability" in fields


def test_a_device_that_stands_still_lends_its_position_to_records_without_one(scorer):
    model, mast = scorer.model("sensor_threat"), Position(latitude_deg=1.0, longitude_deg=2.0, error_m=5.0)
    record_scorer = RecordScorer(model, bundle="b", device="d", source="s", position=mast)
    assert body(record_scorer, LINE)["position"] == {"latitude_deg": 1.0, "longitude_deg": 2.0, "error_m": 5.0}
    elsewhere = body(record_scorer, LINE[:-1] + b', "latitude_deg": 3, "longitude_deg": 4}')
    assert elsewhere["position"] == {"latitude_deg": 3, "longitude_deg": 4}


def test_a_score_of_the_days_ahead_has_the_end_of_its_validity(tmp_path):
    model = Scorer.load(write_bundle(tmp_path, AREA)).model("area_risk_28d")
    delivered = body(
        RecordScorer(model, bundle="b", device="d", source="s", point="balanced"), b'{"ied_count_decay30d": 1}'
    )
    assert delivered["expires_at"] == iso(NOW.at + 28 * 86_400)


def test_a_value_out_of_range_is_named(record_scorer):
    assert body(record_scorer, b'{"voltage": 1.4, "height": 0.3}')["out_of_range"] == ["voltage"]


def test_the_same_record_has_the_same_key_and_another_has_another(record_scorer):
    def key(line, place=None):
        return record_scorer.score(line, number=1, moment=NOW, place=place).key

    nameless = b'{"voltage": 0.4, "height": 0.3}'
    assert key(LINE) == key(LINE, place="elsewhere")
    assert key(LINE) != key(LINE.replace(b"d1", b"d2"))
    assert key(nameless) != key(nameless), "two alarms alike are two alarms"
    assert key(nameless, place="17") == key(nameless, place="17") != key(nameless, place="18")


@pytest.mark.parametrize(
    ("stamp", "moment", "uncertain"),
    [
        ("2026-01-01T00:00:00Z", NOW, False),
        ("2026-01-01T00:00:00Z", Moment(0.0, True), True),
        ("2027-01-01T00:00:00Z", NOW, True),
        ("yesterday", NOW, True),
        ("2026-01-01T00:00:00", NOW, True),
        (17, NOW, True),
        (None, NOW, False),
    ],
)
def test_a_time_that_cannot_be_right_is_marked_and_costs_no_score(record_scorer, stamp, moment, uncertain):
    delivered = body(record_scorer, json.dumps({"voltage": 0.4, "height": 0.3, "observed_at": stamp}).encode(), moment)
    assert delivered.get("time_uncertain", False) is uncertain
    assert "probability" in delivered


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.0, "almost no chance"),
        (0.05, "very unlikely"),
        (0.2, "unlikely"),
        (0.45, "roughly even chance"),
        (0.55, "likely"),
        (0.8, "very likely"),
        (0.95, "almost certain"),
    ],
)
def test_words_for_a_probability(probability, words):
    assert likelihood(probability) == words


def test_an_operating_point_must_be_named_where_there_are_several(tmp_path):
    two = replace(CONTRACT, operating_points={"wary": 0.1, "sure": 0.9})
    scorer = Scorer.load(write_bundle(tmp_path, two))
    model = scorer.model("sensor_threat")
    with pytest.raises(ConfigError, match=r"operating_point: got nothing; expected .*sure, wary"):
        RecordScorer(model, bundle="b", device="d", source="s")
    with pytest.raises(ConfigError, match="got 'mild'"):
        RecordScorer(model, bundle="b", device="d", source="s", point="mild")
    alarm = RecordScorer(model, bundle="b", device="d", source="s", point="wary")
    assert body(alarm, LINE)["decision"]["operating_point"] == "wary"


@settings(max_examples=300, deadline=None)
@given(
    line=st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["id", "voltage", "height", "observed_at", "cell", "x"]), inner)
            ),
            max_leaves=6,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_line_gets_a_score_or_a_reason(scorer, line):
    entry = with_prior(scorer).score(line, number=1, moment=NOW)
    delivered = json.loads(entry.body)
    if entry.probability is None:
        assert delivered["error"]
    else:
        assert 0 <= delivered["probability"] <= 1
    assert len(entry.body) < 4000
