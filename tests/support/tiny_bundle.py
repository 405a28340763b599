"""A bundle small enough to check by hand: one stump a feature, so that log-odds are a sum of signed weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from threat_scorer.marking import Marking
from threat_scorer.scoring import contract as contracts
from threat_scorer.scoring import golden as goldens
from threat_scorer.scoring.contract import Contract, Input
from threat_scorer.scoring.features import assemble, groups_of
from threat_scorer.scoring.golden import Golden

INPUTS = (
    Input("voltage", "1", 0.0, 1.0, required=True),
    Input("height", "1", 0.0, 1.0, required=True),
    Input("emi_in_phase", "1", -2.0, 2.0, required=False),
    Input("emi_quadrature", "1", -2.0, 2.0, required=False),
)
CONTRACT = Contract(
    model="sensor_threat",
    dataset="tiny",
    simulated=True,
    inputs=INPUTS,
    features=assemble("sensor_threat", {entry.name: [0.0] for entry in INPUTS})[0],
    groups=groups_of("sensor_threat", [entry.name for entry in INPUTS]),
    operating_points={"balanced": 0.5},
    base_rate=0.25,
    takes_prior=False,
    uncertainty=None,
    horizon_days=None,
    training_data_digest="sha256:" + "0" * 64,
    booster_digest="sha256:" + "1" * 64,
    params_digest="sha256:" + "2" * 64,
    marking=Marking("TEST", ("ALL",), "CLEAR"),
)
AREA = replace(
    CONTRACT,
    model="area_risk_28d",
    inputs=(Input("ied_count_decay30d", "1", 0.0, 1e4, required=True),),
    features=("ied_count_decay30d",),
    groups=("ied",),
    horizon_days=28,
)
THRESHOLD = 0.5


def log_odds(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return what the model must give: feature k adds +(k+1)/2 above the threshold, else (or missing) -(k+1)/2."""
    weights = (np.arange(matrix.shape[1]) + 1) / 2
    return np.where(matrix > THRESHOLD, weights, -weights).sum(axis=1)


def write_bundle(folder: Path, *contracts: Contract) -> Path:
    """Write one model for each contract; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for contract in contracts or (CONTRACT,):
        onnx.save(model(contract, len(contract.features)), folder / f"{contract.model}.onnx")
    return folder


def model(contract: Contract | None, width: int, *, outputs: tuple[str, str] = ("probability", "log_odds")):
    """Build the model as ONNX."""
    trees = helper.make_node(
        "TreeEnsembleRegressor", ["features"], [outputs[1]], domain="ai.onnx.ml", n_targets=1, **_stumps(width)
    )
    sigmoid = helper.make_node("Sigmoid", [outputs[1]], [outputs[0]])
    graph = helper.make_graph(
        [trees, sigmoid],
        "stumps",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in outputs],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    built = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if contract is not None:
        helper.set_model_props(built, {contracts.KEY: contract.to_json(), goldens.KEY: golden(width).to_json()})
    return built


def golden(width: int) -> Golden:
    """Return rows on both sides of the threshold, on it and missing, and what they must give, computed by hand."""
    rows = np.array([[0.0] * width, [1.0] * width, [THRESHOLD] * width, [np.nan] * width], dtype=np.float32)
    expected = log_odds(rows)
    return Golden(rows, (1 / (1 + np.exp(-expected))).astype(np.float32), expected.astype(np.float32))


def _stumps(width: int) -> dict[str, list]:
    trees = range(width)
    return {
        "nodes_treeids": [tree for tree in trees for _ in range(3)],
        "nodes_nodeids": [0, 1, 2] * width,
        "nodes_featureids": [feature for tree in trees for feature in (tree, 0, 0)],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * width,
        "nodes_values": [THRESHOLD, 0.0, 0.0] * width,
        "nodes_truenodeids": [1, 0, 0] * width,
        "nodes_falsenodeids": [2, 0, 0] * width,
        "nodes_missing_value_tracks_true": [1, 0, 0] * width,
        "target_treeids": [tree for tree in trees for _ in range(2)],
        "target_nodeids": [1, 2] * width,
        "target_ids": [0, 0] * width,
        "target_weights": [sign * (tree + 1) / 2 for tree in trees for sign in (-1, 1)],
    }
