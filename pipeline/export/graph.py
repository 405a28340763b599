"""`Forest` and the stages around it -> one ONNX model: `features` in, `probability` and `log_odds` out.

Built so that the same model gives the same bytes: every part is named after what it is, nothing is dated or drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from pipeline.export.ensemble import ML_DOMAIN, LeafOutputs, tree_ensemble, tree_ensemble_regressor
from pipeline.export.reasons import leaf_moves
from pipeline.export.stages import Stages
from pipeline.export.trees import ZERO_THRESHOLD, Forest
from threat_scorer.features import LARGEST_INTEGER


@dataclass(frozen=True)
class Form:
    """One way to write a model down, and who can read it."""

    dtype: type[np.floating]
    """Of the input, the thresholds, the sums and the outputs."""
    opset: int
    ml_opset: int
    ir_version: int
    oldest_onnxruntime: str
    tolerance: float
    """Largest difference of a probability from the booster's that the parity gate lets pass."""


TREES: Final = "trees"
"""Name of the tree operator that gives the log-odds."""

TREES_PER_SUM: Final = 32
"""Trees whose log-odds the operator adds up in float32; their sums are added in double."""

FORMS: Final[Mapping[str, Form]] = {
    "field": Form(np.float32, 15, 3, 8, "1.16.3", 1e-6),
    "large_categories": Form(np.float32, 21, 5, 10, "1.23", 1e-6),
    "reference": Form(np.float64, 21, 5, 10, "1.23", 1e-14),
}


def build(
    forest: Forest,
    stages: Stages,
    *,
    name: str,
    form: str = "field",
    typical: NDArray[np.float64] | None = None,
) -> ModelProto:
    """Return the whole model as one graph.

    Parameters
    ----------
    name
        Of the graph.
    form
        A key of `FORMS`.
    typical
        (features,) the mean training row. With it the graph can also give reasons.

    Returns
    -------
    Input `features` (rows, features); outputs `probability` and `log_odds`, both (rows, 1), all of the form's type.
    With reasons, an optional input `explain`, false unless given, and an output `contributions`: if `explain` is true
    (rows, features), the log-odds that each feature adds to what is expected of a typical row; else (0, features).
    """
    kind = FORMS[form]
    graph = _Graph(kind)
    source = _prepared(graph, forest)
    total = _tree_sum(graph, forest, source)
    held = _held(graph) if stages.baseline else ""
    _add_stages(graph, stages, total, held)
    graph.add("Sigmoid", "log_odds", output="probability")
    if typical is not None:
        _add_reasons(graph, forest, stages, source, held, typical)
    return graph.model(name, n_features=len(forest.feature_names))


class _Graph:
    """Nodes, constants, inputs and outputs as they are added, each node named after what it gives."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.dtype = form.dtype
        self.kind = helper.np_dtype_to_tensor_dtype(np.dtype(form.dtype))
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs = [
            helper.make_tensor_value_info(output, self.kind, ["rows", 1]) for output in ("probability", "log_odds")
        ]

    def add(self, operator: str, *inputs: str, output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: object, dtype: type[np.generic]) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def model(self, name: str, *, n_features: int) -> ModelProto:
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("features", self.kind, ["rows", n_features]), *self.inputs],
            self.outputs,
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", self.form.opset),
                helper.make_opsetid(ML_DOMAIN, self.form.ml_opset),
            ],
            ir_version=self.form.ir_version,
            producer_name="cied-pipeline",
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _prepared(graph: _Graph, forest: Forest) -> str:
    """Add what LightGBM does to a value before it walks the trees, as far as the trees cannot do it themselves."""
    source = "features"
    n = len(forest.feature_names)
    if len(columns := forest.zero_as_missing):
        mask = graph.constant("zero_is_missing", np.isin(np.arange(n), columns)[None], np.bool_)
        limit = graph.constant("zero_threshold", ZERO_THRESHOLD, graph.dtype)
        nan = graph.constant("missing", np.nan, graph.dtype)
        size = graph.add("Abs", source, output="size")
        is_zero = graph.add("LessOrEqual", size, limit, output="is_zero")
        is_missing = graph.add("And", is_zero, mask, output="is_missing")
        source = graph.add("Where", is_missing, nan, source, output="features_with_missing")
    if len(columns := forest.columns(categorical=True)):
        # LightGBM cuts a code's fraction off, towards zero; ONNX has no operator for that
        mask = graph.constant("is_category", np.isin(np.arange(n), columns)[None], np.bool_)
        zero = graph.constant("zero", 0, graph.dtype)
        floor = graph.add("Floor", source, output="floor")
        ceiling = graph.add("Ceil", source, output="ceiling")
        negative = graph.add("Less", source, zero, output="is_negative")
        whole = graph.add("Where", negative, ceiling, floor, output="whole")
        source = graph.add("Where", mask, whole, source, output="features_with_codes")
    return source


def _held(graph: _Graph) -> str:
    """Add the values as the baseline reads them: in double, missing as 0, none beyond what float32 counts by ones."""
    double = graph.add("Cast", "features", output="features_double", to=TensorProto.DOUBLE)
    is_nan = graph.add("IsNaN", double, output="is_nan")
    filled = graph.add("Where", is_nan, graph.constant("nothing", 0, np.float64), double, output="features_filled")
    low = graph.constant("least_value", -LARGEST_INTEGER, np.float64)
    high = graph.constant("largest_value", LARGEST_INTEGER, np.float64)
    return graph.add("Clip", filled, low, high, output="features_held")


def _add_trees(graph: _Graph, forest: Forest, leaves: LeafOutputs, source: str, output: str) -> str:
    if graph.form.ml_opset < 5:
        node = tree_ensemble_regressor(forest, leaves, source, output, name=output)
    else:
        node = tree_ensemble(forest, leaves, source, output, name=output, dtype=graph.dtype)
    graph.nodes.append(node)
    return output


def _tree_sum(graph: _Graph, forest: Forest, source: str) -> str:
    """Add the trees' log-odds: (rows, 1), double.

    A tree operator in float32 also sums in float32. It sums a few trees at a time, and the sums are summed in double.
    """
    if graph.dtype is np.float64:
        return _add_trees(graph, forest, LeafOutputs.log_odds(forest, trees_per_sum=forest.n_trees), source, TREES)
    sums = _add_trees(graph, forest, LeafOutputs.log_odds(forest, trees_per_sum=TREES_PER_SUM), source, TREES)
    double = graph.add("Cast", sums, output="trees_double", to=TensorProto.DOUBLE)
    return graph.add("ReduceSum", double, graph.constant("axis", [1], np.int64), output="trees_sum", keepdims=1)


def _add_stages(graph: _Graph, stages: Stages, total: str, held: str) -> None:
    """Add `log_odds`: baseline, calibration and limit after the trees' sum, in double, and then in the form's type."""
    if stages.baseline:
        weights = graph.constant("baseline_weights", stages.baseline.weights[:, None], np.float64)
        product = graph.add("MatMul", held, weights, output="baseline_product")
        intercept = graph.constant("baseline_intercept", stages.baseline.intercept, np.float64)
        baseline = graph.add("Add", product, intercept, output="baseline")
        total = graph.add("Add", total, baseline, output="boosted")
    if stages.calibration:
        slope = graph.constant("calibration_slope", stages.calibration.slope, np.float64)
        intercept = graph.constant("calibration_intercept", stages.calibration.intercept, np.float64)
        scaled = graph.add("Mul", total, slope, output="scaled")
        total = graph.add("Add", scaled, intercept, output="calibrated")
    if stages.limit is not None:
        low = graph.constant("least_log_odds", -stages.limit, np.float64)
        high = graph.constant("largest_log_odds", stages.limit, np.float64)
        total = graph.add("Clip", total, low, high, output="limited")
    graph.add("Cast", total, output="log_odds", to=graph.kind)


def _add_reasons(
    graph: _Graph, forest: Forest, stages: Stages, source: str, held: str, typical: NDArray[np.float64]
) -> None:
    """Add the output `contributions` as a branch that costs nothing unless the input `explain` asks for it.

    It is summed in double: a row's contributions then add up to its log-odds as closely as float32 can say them.
    """
    n = len(forest.feature_names)
    branch = _Graph(graph.form)
    branch.constants = graph.constants  # a branch sees the constants of the graph around it
    total = _add_moves(branch, forest, source)
    if stages.baseline:
        away = branch.add("Sub", held, branch.constant("typical", typical, np.float64), output="away_from_typical")
        weights = branch.constant("baseline_weights_row", stages.baseline.weights, np.float64)
        linear = branch.add("Mul", away, weights, output="baseline_moves")
        total = branch.add("Add", total, linear, output="boosted_moves")
    if stages.calibration:
        total = branch.add("Mul", total, "calibration_slope", output="calibrated_moves")
    branch.add("Cast", total, output="moves_as_output", to=graph.kind)

    def body(name: str, nodes: list[NodeProto]) -> GraphProto:
        output = helper.make_tensor_value_info(nodes[-1].output[0], graph.kind, [None, n])
        return helper.make_graph(nodes, name, [], [output])

    none = helper.make_node("Identity", [graph.constant("no_moves", np.zeros((0, n)), graph.dtype)], ["none"])
    graph.inputs.append(helper.make_tensor_value_info("explain", TensorProto.BOOL, []))
    graph.constant("explain", False, np.bool_)  # the input's default
    graph.add(
        "If",
        "explain",
        output="contributions",
        then_branch=body("explained", branch.nodes),
        else_branch=body("unexplained", [none]),
    )
    graph.outputs.append(helper.make_tensor_value_info("contributions", graph.kind, ["explained", n]))


def _add_moves(branch: _Graph, forest: Forest, source: str) -> str:
    """Add the sum over the trees of what each feature adds on the way to the row's leaf: (rows, features), double.

    The leaves give their numbers, which look the moves up in a table. (A leaf with several targets would do without
    the table, but onnxruntime 1.31 takes two leaves for one when their first weights agree.)
    """
    numbers = _add_trees(branch, forest, LeafOutputs.number(forest), source, "leaf_numbers")
    number = branch.add("Cast", numbers, output="leaf_numbers_whole", to=TensorProto.INT64)
    first = branch.constant("first_leaf", np.searchsorted(forest.leaf_tree, np.arange(forest.n_trees)), np.int64)
    index = branch.add("Add", number, first, output="leaf_indices")
    table = branch.constant("moves_by_leaf", leaf_moves(forest), branch.dtype)
    by_tree = branch.add("Gather", table, index, output="moves_by_tree")  # (rows, trees, features)
    double = branch.add("Cast", by_tree, output="moves_by_tree_double", to=TensorProto.DOUBLE)
    return branch.add("ReduceSum", double, branch.constant("axis", [1], np.int64), output="moves", keepdims=0)
