"""Scorer and bundle: the numbers are those of a calculation by hand, and an error names what is wrong in a bundle."""

import hashlib
import shutil
import threading
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tiny_bundle import AREA, CONTRACT, INPUTS, golden, log_odds, model, write_bundle

from threat_scorer import Scorer
from threat_scorer.errors import BundleError, RecordError, ScoringError
from threat_scorer.scoring.features import assemble
from threat_scorer.scoring.float32 import FeatureError
from threat_scorer.scoring.golden import Golden
from threat_scorer.scoring.model import Model

NAMES = [entry.name for entry in INPUTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"), CONTRACT, AREA)


@pytest.fixture(scope="module")
def scorer(folder):
    return Scorer.load(folder)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_columns_are_scored_as_by_hand(scorer):
    columns = {"voltage": [0.4, 0.9, 0.1], "height": [0.3, 0.9, 0.2], "emi_in_phase": [None, 1.0, -1.5]}
    complete = {**columns, "emi_quadrature": [None] * 3}
    expected = log_odds(assemble("sensor_threat", complete)[1])
    scores = scorer.score("sensor_threat", columns)
    np.testing.assert_allclose(scores.log_odds, expected, rtol=1e-6)
    # onnxruntime's sigmoid is an approximation: exact to 1e-7, not to the last digits of a tiny probability
    np.testing.assert_allclose(scores.probability, sigmoid(expected), atol=1e-7)
    assert scores.probability.dtype == np.float32
    assert (scores.model, scores.bundle, scores.simulated) == ("sensor_threat", scorer.bundle, True)
    assert scores.out_of_range == {}


def test_what_numpy_masks_is_missing(scorer):
    masked = {"voltage": [0.4], "height": np.ma.array([0.3]), "emi_in_phase": np.ma.array([1.0], mask=[True])}
    absent = scorer.score("sensor_threat", {"voltage": [0.4], "height": [0.3]})
    assert scorer.score("sensor_threat", masked).log_odds == absent.log_odds
    with pytest.raises(RecordError, match="voltage: row 0 is missing"):
        scorer.score("sensor_threat", {"voltage": np.ma.array([1.0], mask=[True]), "height": [0.3]})
    with pytest.raises(RecordError, match="voltage: row 1 is missing"):
        scorer.score("sensor_threat", {"voltage": [1.0, np.ma.masked], "height": [0.3, 0.3]})


def test_the_order_of_the_columns_does_not_matter(scorer):
    forth = scorer.score("sensor_threat", {"voltage": [0.9], "height": [0.1]})
    back = scorer.score("sensor_threat", {"height": [0.1], "voltage": [0.9]})
    assert forth.log_odds == back.log_odds


def test_values_out_of_range_are_scored_and_flagged_by_row(scorer):
    scores = scorer.score("sensor_threat", {"voltage": [0.5, 1.5], "height": [-0.1, 0.5]})
    assert {name: rows.tolist() for name, rows in scores.out_of_range.items()} == {
        "voltage": [False, True],
        "height": [True, False],
    }
    assert np.isfinite(scores.probability).all()


in_range = st.floats(0, 1)
optional = st.none() | st.floats(-3, 3)


@given(st.lists(st.tuples(in_range, in_range, optional, optional), min_size=1, max_size=20))
def test_a_record_gets_the_same_bits_alone_as_in_a_column(scorer, rows):
    scores = scorer.score("sensor_threat", dict(zip(NAMES, zip(*rows, strict=True), strict=True)))
    for index, row in enumerate(rows):
        score = scorer.score_record("sensor_threat", dict(zip(NAMES, row, strict=True)))
        assert (score.probability, score.log_odds) == (scores.probability[index], scores.log_odds[index])
        assert set(score.out_of_range) == {name for name, out in scores.out_of_range.items() if out[index]}


def test_threads_that_score_records_at_once_do_not_mix_them(scorer):
    def score(voltage, into):
        record = {"voltage": voltage, "height": 0.0}
        into.extend(scorer.score_record("sensor_threat", record).log_odds for _ in range(2000))

    low, high = [], []
    threads = [threading.Thread(target=score, args=arguments, daemon=True) for arguments in ((0.1, low), (0.9, high))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(set(low)), len(set(high))) == (1, 1)
    assert set(low) != set(high)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"voltage": [0.4]}, RecordError, "height: column is missing"),
        ({"voltage": [0.4], "hieght": [0.3]}, RecordError, "did you mean 'height'?"),
        ({"voltage": [0.4], "height": [0.3], "colour": [1]}, RecordError, "unknown column 'colour'"),
        ({"voltage": [0.4, None], "height": [0.3, 0.3]}, RecordError, "voltage: row 1 is missing"),
        ({"voltage": [0.4, 0.5], "height": [0.3]}, FeatureError, "lengths"),
        ({"voltage": ["0.4"], "height": [0.3]}, FeatureError, "voltage: row 0 = '0.4'"),
        ({"voltage": 0.4, "height": 0.3}, FeatureError, "expected a sequence"),
    ],
)
def test_columns_that_cannot_be_scored_are_refused_by_name(scorer, columns, error, message):
    with pytest.raises(error) as raised:
        scorer.score("sensor_threat", columns)
    assert message in str(raised.value)


def test_no_rows_give_no_scores(scorer):
    assert scorer.score("sensor_threat", {"voltage": [], "height": []}).probability.shape == (0,)


def test_the_bundles_name_is_its_dataset_and_what_sha256sum_says_of_its_files(folder, scorer):
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.glob("*.onnx"))
    ]
    assert scorer.bundle == f"tiny-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:12]}"


def test_another_model_file_is_another_bundle(folder, scorer, tmp_path):
    write_bundle(tmp_path, replace(CONTRACT, base_rate=0.26), AREA)
    assert Scorer.load(tmp_path).bundle != scorer.bundle


def test_contracts_are_there_to_be_read(scorer):
    assert scorer.contracts == {"area_risk_28d": AREA, "sensor_threat": CONTRACT}


def test_an_unknown_model_is_refused_with_the_known_ones(scorer):
    with pytest.raises(BundleError, match="no model 'sonar'; expected one of area_risk_28d, sensor_threat"):
        scorer.score_record("sonar", {})


def without_contract():
    return model(None, len(CONTRACT.features))


def with_other_outputs():
    return model(CONTRACT, len(CONTRACT.features), outputs=("label", "score"))


def with_other_width():
    return model(CONTRACT, 2)


def with_other_features():
    return model(replace(CONTRACT, features=CONTRACT.features[::-1]), len(CONTRACT.features))


def of_another_model():
    return model(AREA, 1)


def with_malformed_contract():
    built = model(CONTRACT, len(CONTRACT.features))
    built.metadata_props[0].value = "{}"
    return built


def of_an_unknown_model():
    return model(replace(CONTRACT, model="sonar"), len(CONTRACT.features))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (without_contract, "no threat_scorer_contract in its metadata"),
        (with_malformed_contract, "version: got None"),
        (with_other_outputs, "output probability: got none"),
        (with_other_width, "expected features, tensor(float), shape (n, 31)"),
        (with_other_features, "different releases"),
        (of_another_model, "its contract is that of 'area_risk_28d'; expected 'sensor_threat'"),
        (of_an_unknown_model, "got 'sonar'"),
    ],
)
def test_a_model_that_breaks_its_contract_is_not_loaded(tmp_path, build, message):
    path = tmp_path / "sensor_threat.onnx"
    onnx.save(build(), path)
    with pytest.raises(BundleError) as raised:
        Scorer.load(tmp_path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)


def test_models_of_two_datasets_are_no_bundle(tmp_path):
    write_bundle(tmp_path, CONTRACT, replace(AREA, dataset="other", simulated=False))
    with pytest.raises(BundleError, match="different datasets"):
        Scorer.load(tmp_path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="no such folder"):
        Scorer.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no \.onnx file"):
        Scorer.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="a file; expected a bundle"):
        Scorer.load(tmp_path / "file")
    (tmp_path / "sensor_threat.onnx").mkdir()
    with pytest.raises(BundleError, match="cannot be read"):
        Scorer.load(tmp_path)


def with_wrong_sign():
    built = model(CONTRACT, len(CONTRACT.features))
    weights = next(a for a in built.graph.node[0].attribute if a.name == "target_weights")
    weights.floats[0] *= -1
    return built


def without_golden_rows():
    built = model(CONTRACT, len(CONTRACT.features))
    del built.metadata_props[1]
    return built


def with_narrow_golden_rows():
    built = model(CONTRACT, len(CONTRACT.features))
    built.metadata_props[1].value = golden(2).to_json()
    return built


def with_unreadable_golden_rows():
    built = model(CONTRACT, len(CONTRACT.features))
    built.metadata_props[1].value = '{"rows": 4}'
    return built


def that_gives_no_probability():
    built = model(CONTRACT, len(CONTRACT.features))
    built.graph.node[1].op_type = "Log"
    return built


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (with_wrong_sign, "golden row 0: got probability"),
        (without_golden_rows, "no threat_scorer_golden in its metadata"),
        (with_narrow_golden_rows, "golden rows have 2 features; expected 31"),
        (with_unreadable_golden_rows, "golden rows: not readable"),
        (that_gives_no_probability, "its graph does not run: sensor_threat: got a probability outside 0 to 1"),
    ],
)
def test_a_model_that_computes_otherwise_here_is_not_loaded(tmp_path, build, message):
    onnx.save(build(), tmp_path / "sensor_threat.onnx")
    with pytest.raises(BundleError) as raised:
        Scorer.load(tmp_path)
    assert message in str(raised.value)


def test_a_number_that_is_no_probability_is_not_passed_on():
    width = len(AREA.features)
    broken = model(AREA, width)
    broken.graph.node[1].op_type = "Exp"  # looks well on the golden rows, whose log-odds are negative
    rows = np.zeros((1, width), dtype=np.float32)
    expected = log_odds(rows).astype(np.float32)
    broken.metadata_props[1].value = Golden(rows, np.exp(expected), expected).to_json()
    loaded = Model(broken.SerializeToString(), where="broken")
    with pytest.raises(ScoringError, match="outside 0 to 1"):
        loaded.predict({name: np.array([0.0, 0.9]) for name in AREA.features})
    with pytest.raises(ScoringError, match="got probability"):
        loaded.predict_row([0.9] * width)


def test_a_value_on_the_limit_is_in_range_however_it_was_rounded(tmp_path):
    limit = float(np.float32(0.7))
    assert limit < 0.7
    contract = replace(AREA, inputs=(replace(AREA.inputs[0], high=limit),))
    loaded = Scorer.load(write_bundle(tmp_path, contract))
    name = contract.inputs[0].name
    for value, outside in ((0.7, False), (limit, False), (float(np.nextafter(np.float32(limit), np.float32(1))), True)):
        assert bool(loaded.score_record("area_risk_28d", {name: value}).out_of_range) is outside
        assert bool(loaded.score("area_risk_28d", {name: [value]}).out_of_range) is outside


ONNX = model(CONTRACT, len(CONTRACT.features)).SerializeToString()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=200)
    | st.integers(0, len(ONNX) - 1).map(lambda end: ONNX[:end])
    | st.tuples(st.integers(0, len(ONNX) - 1), st.binary(min_size=1, max_size=4)).map(
        lambda edit: ONNX[: edit[0]] + edit[1] + ONNX[edit[0] + len(edit[1]) :]
    )
)
def test_a_damaged_file_is_refused_or_is_still_a_whole_model(tmp_path, damaged):
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "sensor_threat.onnx").write_bytes(damaged)
    try:
        scorer = Scorer.load(folder)
    except BundleError as error:
        assert str(folder) in str(error)
    else:
        assert set(scorer.contracts) == {"sensor_threat"}
