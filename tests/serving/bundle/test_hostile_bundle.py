"""ONNX files that mean harm: each is refused in words, reads no other file and leaves the process as it was."""

import random
import resource

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.tiny_bundle import CONTRACT, model

from threat_scorer import Scorer
from threat_scorer.errors import BundleError

WIDTH = len(CONTRACT.features)


def load(folder, data):
    (folder / "sensor_threat.onnx").write_bytes(data)
    return Scorer.load(folder)


def good():
    return model(CONTRACT, WIDTH)


def reads_another_file(folder):
    """Have a constant whose bytes lie, by its entry, in another file."""
    made = good()
    (folder / "secret.bin").write_bytes(b"secret" * 100)
    tensor = TensorProto(name="stolen", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    made.graph.initializer.append(tensor)
    made.graph.node.append(helper.make_node("Identity", ["stolen"], ["shown"]))
    made.graph.output.append(helper.make_tensor_value_info("shown", TensorProto.FLOAT, [4]))
    return made


def reads_a_system_file(folder):
    made = reads_another_file(folder)
    made.graph.initializer[-1].external_data[0].value = "/etc/passwd"
    return made


def asks_for_a_terabyte(folder):
    made = good()
    made.graph.initializer.append(helper.make_tensor("size", TensorProto.INT64, [1], [2**38]))
    made.graph.node.insert(0, helper.make_node("ConstantOfShape", ["size"], ["huge"]))
    made.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0))
    made.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, []))
    # an output, so that it is not optimised away: the probability is multiplied by it
    made.graph.node.append(helper.make_node("Mul", ["probability", "sum"], ["scaled"]))
    made.graph.output[0].name = "scaled"
    made.graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1]))
    return made


def calls_an_operator_of_its_own(folder):
    made = good()
    made.graph.node.append(helper.make_node("Run", ["probability"], ["ran"], domain="evil.example"))
    made.opset_import.append(helper.make_opsetid("evil.example", 1))
    return made


def is_a_circle(folder):
    made = good()
    made.graph.node.append(helper.make_node("Identity", ["b"], ["a"]))
    made.graph.node.append(helper.make_node("Identity", ["a"], ["b"]))
    return made


def says_it_is_of_the_future(folder):
    made = good()
    made.ir_version = 2**40
    return made


def has_trees_that_point_outside(folder):
    made = good()
    for attribute in made.graph.node[0].attribute:
        if attribute.name == "nodes_truenodeids":
            attribute.ints[0] = 2**31
        if attribute.name == "nodes_featureids":
            attribute.ints[0] = 2**31
    return made


def has_a_tree_that_never_ends(folder):
    made = good()
    for attribute in made.graph.node[0].attribute:
        if attribute.name in ("nodes_truenodeids", "nodes_falsenodeids"):
            attribute.ints[0] = 0
    return made


@pytest.mark.parametrize(
    "hostile",
    [
        reads_another_file,
        reads_a_system_file,
        asks_for_a_terabyte,
        calls_an_operator_of_its_own,
        is_a_circle,
        says_it_is_of_the_future,
        has_trees_that_point_outside,
        has_a_tree_that_never_ends,
    ],
)
def test_a_hostile_graph_is_refused_in_words(tmp_path, hostile):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError) as refusal:
        load(tmp_path, hostile(tmp_path).SerializeToString())
    assert "sensor_threat.onnx" in str(refusal.value)
    assert "secretsecret" not in str(refusal.value)
    assert len(str(refusal.value)) < 600
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 512 * 1024


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 1000, b"\xff" * 1000, b"PK\x03\x04" + b"x" * 100, b"\x80\x04cos\nsystem\n"]
)
def test_what_is_no_onnx_is_refused(tmp_path, data):
    with pytest.raises(BundleError, match=r"sensor_threat\.onnx"):
        load(tmp_path, data)


def test_a_file_changed_at_random_is_refused_or_scores_as_a_model_that_passed_its_own_test(tmp_path):
    whole = good().SerializeToString()
    rng = random.Random(3)
    kept = 0
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        try:
            scorer = load(tmp_path, bytes(changed[: rng.choice([len(changed), rng.randrange(len(changed))])]))
        except BundleError:
            continue
        kept += 1
        assert 0 <= scorer.score_record("sensor_threat", {"voltage": 0.4, "height": 0.3}).probability <= 1
    assert 0 < kept < 300


def test_golden_rows_that_are_no_numbers_or_too_many_are_refused(tmp_path):
    from threat_scorer.scoring import golden as goldens

    made = good()
    for text in (
        "{}",
        "[" * 10_000,
        '{"features": [[1e999]]}',
        "null",
        '{"features": "x", "probability": [], "log_odds": []}',
    ):
        for entry in made.metadata_props:
            if entry.key == goldens.KEY:
                entry.value = text
        with pytest.raises(BundleError, match="golden"):
            load(tmp_path, made.SerializeToString())


def test_the_good_file_is_loaded_so_that_the_others_are_refused_for_what_they_are(tmp_path):
    onnx.checker.check_model(good())
    assert np.isfinite(
        load(tmp_path, good().SerializeToString()).score_record("sensor_threat", {"voltage": 0, "height": 0}).log_odds
    )
