"""Prior, interval and novelty behind the trees: graph, gate and device agree with the reference."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from export.sensor_alarms import NAMES, alarms, usual_novelty
from onnx import ModelProto, numpy_helper
from scipy.special import logit

from pipeline.export import metadata
from pipeline.export.gate.parity import ParityError, check, session
from pipeline.export.gate.reference import Reference
from pipeline.export.graph import build
from pipeline.export.graph_builder import VARIANTS
from pipeline.export.trees import parse
from pipeline.model.intervals import IntervalTable
from pipeline.model.log_odds import CalibratedLogOdds, Calibration, LogLinear
from threat_scorer import Scorer
from threat_scorer.bundle.manifest import PriorTerms
from threat_scorer.bundle.prior import Prior
from threat_scorer.errors import BundleError
from threat_scorer.marking import Marking
from threat_scorer.run.clock import Moment
from threat_scorer.run.record_scorer import RecordScorer
from threat_scorer.scoring.contract import Contract, Input, UncertaintyPolicy
from threat_scorer.scoring.explanations import Reasons
from threat_scorer.scoring.features import assemble
from threat_scorer.scoring.features import groups_of as feature_groups_of
from threat_scorer.scoring.float32 import FeatureError, shortest
from threat_scorer.scoring.stream import Counts, score_stream

BASE_RATE = 0.3
FORMULA = CalibratedLogOdds(
    LogLinear(0.1, dict.fromkeys(assemble("sensor_threat", {name: [0.0] for name in NAMES})[0], 0.0)),
    Calibration(0.9, -0.2),
    limit=6.0,
    base_log_odds=float(logit(BASE_RATE)),
)
INTERVAL = IntervalTable(0.9, 0.3, np.array([-1.0, 0.2, 1.1]), np.array([-3.0, -1, 0, 1]), np.array([-1.0, 1, 1, 3]))


@pytest.fixture(scope="module")
def reference() -> tuple[Reference, np.ndarray]:
    inputs = alarms(600, 5)
    names, rows = assemble("sensor_threat", dict(zip(NAMES, inputs.T, strict=True)))
    y = (rows[:, 0] > 0.5) ^ (np.nan_to_num(rows[:, 2]) > 0.3)
    options = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 5}
    booster = lgb.train(options, lgb.Dataset(rows, y, feature_name=list(names)), 12)
    return Reference(booster, parse(booster.model_to_string()), FORMULA, INTERVAL, usual_novelty()), rows


def built(reference: Reference, **options: Any) -> ModelProto:
    arguments = {"name": "model", "interval": reference.interval, "novelty": reference.novelty, **options}
    return build(reference.forest, reference.formula, **arguments)


def gate(model: ModelProto, reference: Reference, rows: np.ndarray, variant: str = "field") -> None:
    check(model, reference, {"test": [rows]}, operating_points={}, tolerance=VARIANTS[variant].tolerance)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("named", [False, True])
def test_prior_interval_and_novelty_are_in_every_variant(reference, variant: str, named: bool) -> None:
    expected, rows = reference
    model = built(expected, variant=variant, named=named)
    gate(model, expected, rows, variant)
    inputs = [entry.name for entry in session(model).get_inputs()]
    assert inputs == (list(expected.forest.feature_names) if named else ["features"])


@pytest.mark.parametrize(
    ("constant", "message"),
    [
        ("intercept_less_base_rate", "probability"),
        ("intercept", "probability without a prior"),
        ("interval_edges", "end of the interval"),
        ("interval_low", "end of the interval"),
        ("interval_high", "end of the interval"),
        ("novelty_mean", "share of the novelty"),
        ("novelty_whitening", "share of the novelty"),
        ("novelty_modalities", "share of the novelty"),
    ],
)
def test_a_planted_fault_after_the_trees_ends_the_export(reference, constant: str, message: str) -> None:
    expected, rows = reference
    model = built(expected)
    tensor = next(value for value in model.graph.initializer if value.name == constant)
    values = numpy_helper.to_array(tensor)
    changed = values[::-1] if constant == "novelty_modalities" else values + 0.3
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), constant))
    with pytest.raises(ParityError, match=rf"test row \d+: .*{message}"):
        gate(model, expected, rows)


def contract(*, abstains: bool) -> Contract:
    inputs = tuple(Input(name, "1", -3.0, 3.0, required=not name.startswith("emi")) for name in NAMES)
    return Contract(
        model="sensor_threat",
        dataset="tiny",
        simulated=True,
        inputs=inputs,
        features=assemble("sensor_threat", {name: [0.0] for name in NAMES})[0],
        groups=feature_groups_of("sensor_threat", NAMES),
        operating_points={"balanced": 0.5},
        base_rate=BASE_RATE,
        takes_prior=True,
        uncertainty=UncertaintyPolicy(0.9, 0.02, abstains=abstains),
        horizon_days=None,
        training_data_digest="sha256:" + "0" * 64,
        booster_digest="sha256:" + "1" * 64,
        params_digest="sha256:" + "2" * 64,
        marking=Marking("TEST", ("ALL",), "CLEAR"),
    )


@pytest.fixture(scope="module", params=["matrix", "named"])
def bundles(request, reference, tmp_path_factory) -> dict[bool, Scorer]:
    expected, rows = reference
    model = built(expected, named=request.param == "named")
    scorers = {}
    for abstains in (False, True):
        folder = tmp_path_factory.mktemp("bundle")
        of = contract(abstains=abstains)
        content = metadata.with_metadata(model, of, metadata.golden(model, of, rows[:40]))
        (folder / "sensor_threat.onnx").write_bytes(content)
        scorers[abstains] = Scorer.load(folder)
    return scorers


USUAL = {"voltage": 0.5, "height": 0.4, "emi_in_phase": 0.3, "emi_quadrature": 0.3}
UNUSUAL = {**USUAL, "emi_quadrature": -0.9}
FAR = {**USUAL, "voltage": 3.5}


def test_a_scorer_gives_interval_and_novelty_on_request(bundles, reference) -> None:
    expected, _ = reference
    scorer = bundles[False]
    records = [USUAL, UNUSUAL, FAR]
    columns = {name: [record[name] for record in records] for name in NAMES}
    assert scorer.score("sensor_threat", columns).uncertainty is None
    scores = scorer.score("sensor_threat", columns, uncertainty=True)
    assert scores.uncertainty is not None
    assert scores.uncertainty.novel.tolist() == [False, True, True]
    rows = np.array([[record[name] for name in NAMES] for record in records], np.float64)
    np.testing.assert_allclose(scores.uncertainty.novelty, expected.novelty.of(rows), rtol=1e-5)
    assert (scores.uncertainty.low <= scores.probability).all()
    assert (scores.probability <= scores.uncertainty.high).all()
    for i, record in enumerate(records):
        alone = scorer.score_record("sensor_threat", record, uncertainty=True)
        assert alone.probability == scores.probability[i] == scorer.score_record("sensor_threat", record).probability
        assert alone.uncertainty == tuple(column[i] for column in scores.uncertainty)


def test_a_prior_is_fused_and_without_one_the_base_rate_is_used(bundles) -> None:
    scorer = bundles[False]
    columns = {name: [USUAL[name]] * 4 for name in NAMES}
    priors = [np.nan, logit(BASE_RATE), 1.5, 40.0]
    own = scorer.score("sensor_threat", columns).log_odds[0]
    fused = scorer.score("sensor_threat", columns, prior_log_odds=priors, uncertainty=True)
    np.testing.assert_allclose(fused.log_odds, [own, own, own + 1.5 - logit(BASE_RATE), 6.0], atol=1e-5)
    assert fused.uncertainty is not None
    assert (fused.uncertainty.low <= fused.probability).all()
    alone = scorer.score_record("sensor_threat", USUAL, prior_log_odds=1.5)
    assert alone.log_odds == fused.log_odds[2]
    row = scorer.model("sensor_threat").predict_row([USUAL[name] for name in NAMES], 1.5)
    assert (row.own_log_odds, row.log_odds) == (own, fused.log_odds[2])
    # a prior that was given once is forgotten
    assert scorer.score_record("sensor_threat", USUAL, uncertainty=True).log_odds == own
    with pytest.raises(FeatureError, match=r"prior_log_odds: got shape \(1,\); expected shape \(4,\)"):
        scorer.score("sensor_threat", columns, prior_log_odds=[0.0])


def test_a_model_that_abstains_gives_no_probability_for_records_unlike_its_training(bundles) -> None:
    scorer = bundles[True]
    columns = {name: [record[name] for record in (USUAL, UNUSUAL, FAR)] for name in NAMES}
    scores = scorer.score("sensor_threat", columns)
    assert scores.uncertainty is not None
    assert np.isnan(scores.probability).tolist() == scores.uncertainty.abstained.tolist() == [False, True, True]
    for record, abstained in ((USUAL, False), (UNUSUAL, True), (FAR, True)):
        score = scorer.score_record("sensor_threat", record)
        assert score.uncertainty is not None
        assert (np.isnan(score.probability), score.uncertainty.abstained) == (abstained, abstained)


def test_a_stream_marks_novel_records_and_abstains_by_policy(bundles) -> None:
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in (USUAL, UNUSUAL, FAR))
    for abstains, scorer in bundles.items():
        parts, written, counts = iter([lines, b""]), [], Counts()
        score_stream(
            lambda size, parts=parts: next(parts),
            written.append,
            model=scorer.model("sensor_threat"),
            bundle=scorer.bundle,
            counts=counts,
        )
        usual, unusual, far = (json.loads(line) for line in b"".join(written).splitlines())
        assert usual["interval"][0] <= usual["probability"] <= usual["interval"][1]
        assert "novel" not in usual
        assert unusual["novelty"] > 1
        assert unusual["novel"] and far["novel"] and far["out_of_range"] == ["voltage"]
        assert (unusual["probability"] is None) == (far["probability"] is None) == abstains
        assert counts.failed == 0


CELL = "85283473fffffff"
PRIOR = Prior(
    PriorTerms("2026-01-01T00:00:00Z", "2026-01-29T00:00:00Z", 5),
    np.array([int(CELL, 16)], np.uint64),
    np.array([1.5], np.float32),
)


def test_the_running_scorer_gives_interval_and_novelty_with_the_prior_in_them(bundles) -> None:
    for abstains, scorer in bundles.items():
        model = scorer.model("sensor_threat")
        record_scorer = RecordScorer(model, bundle=scorer.bundle, device="d", source="s", prior=PRIOR)

        def score(record: dict, record_scorer: RecordScorer = record_scorer) -> dict:
            line = json.dumps(record).encode()
            return json.loads(record_scorer.score(line, number=1, moment=Moment(1767700000.0, False), place="1").body)

        usual, in_cell = score(USUAL), score({**USUAL, "cell": CELL})
        for answer in (usual, in_cell):
            assert answer["interval"][0] <= answer["probability"] <= answer["interval"][1]
            assert answer["novelty"] < 1
        assert in_cell["interval"][0] > usual["interval"][0]
        assert in_cell["parts"]["sensor_log_odds"] == usual["parts"]["sensor_log_odds"]
        unusual = score(UNUSUAL)
        if abstains:
            assert unusual["type"] == "rejection"
            assert "abstained: unlike the training (novelty" in unusual["error"]
        else:
            assert unusual["novel"]


@pytest.fixture
def explaining(reference, tmp_path) -> Scorer:
    """Return a scorer whose model gives interval, novelty and reasons, and calls every record an alarm."""
    expected, rows = reference
    model = built(expected, typical=np.nanmean(rows.astype(np.float64), axis=0))
    of = replace(contract(abstains=False), operating_points={"always": 0.0})
    content = metadata.with_metadata(model, of, metadata.golden(model, of, rows[:40]))
    (tmp_path / "sensor_threat.onnx").write_bytes(content)
    return Scorer.load(tmp_path)


def score_once(record_scorer: RecordScorer, record: dict) -> dict:
    line = json.dumps(record).encode()
    return json.loads(record_scorer.score(line, number=1, moment=Moment(1767700000.0, False), place="1").body)


@pytest.mark.parametrize("reasons", ["all", "alarms", "none"])
def test_the_graph_runs_once_a_record_with_all_requested_outputs(explaining, monkeypatch, reasons: str) -> None:
    model = explaining.model("sensor_threat")
    calls = []
    graph = model._session
    counting = SimpleNamespace(run_with_iobinding=lambda b: (calls.append(b), graph.run_with_iobinding(b)))
    monkeypatch.setattr(model, "_session", counting)
    record_scorer = RecordScorer(model, bundle="b", device="d", source="s", prior=PRIOR, reasons=reasons)
    score = score_once(record_scorer, {**USUAL, "cell": CELL})
    assert {"interval", "novelty", "decision"} <= score.keys()
    assert ("reasons" in score) == (reasons != "none")
    assert len(calls) == 1


@pytest.mark.parametrize("cell", [None, CELL])
def test_one_run_gives_every_digit_that_a_run_for_each_output_gives(explaining, cell: str | None) -> None:
    model = explaining.model("sensor_threat")
    graph, true = model._session, np.array(True)
    record_scorer = RecordScorer(model, bundle="b", device="d", source="s", prior=PRIOR)
    for values in alarms(200, 9):
        record = {name: float(value) for name, value in zip(NAMES, values, strict=True) if not np.isnan(value)}
        matrix = assemble("sensor_threat", {name: [record.get(name, np.nan)] for name in NAMES})[1]
        own = {"features": matrix}
        fused = own if cell is None else {**own, "prior_log_odds": np.array([[1.5]])}
        (probability,), (log_odds,) = graph.run(["probability"], fused), graph.run(["log_odds"], own)
        (interval,), (distance,) = (graph.run([name], {**fused, "assess": true}) for name in ("interval", "novelty"))
        (added,) = graph.run(["contributions"], {**own, "explain": true})
        score = score_once(record_scorer, record | ({} if cell is None else {"cell": cell}))
        assert score["probability"] == shortest(probability[0, 0])
        assert score["parts"]["sensor_log_odds"] == shortest(log_odds[0, 0])
        assert score["interval"] == [shortest(end) for end in interval[0]]
        assert score["novelty"] == shortest(distance[0, 0])
        place = None if cell is None else 1.5 - logit(BASE_RATE)
        inputs = [record.get(name, np.nan) for name in NAMES]
        assert score["reasons"] == list(Reasons(model.contract).words(inputs, added[0], place=place))


def test_a_contract_whose_graph_has_no_novelty_is_refused(reference, tmp_path) -> None:
    expected, rows = reference
    of = contract(abstains=False)
    complete = built(expected)
    golden = metadata.golden(complete, of, rows[:5])
    without = built(expected, interval=None, novelty=None)
    (tmp_path / "sensor_threat.onnx").write_bytes(metadata.with_metadata(without, of, golden))
    with pytest.raises(BundleError, match="output interval: got none"):
        Scorer.load(tmp_path)
