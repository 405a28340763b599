"""Operators, constants, inputs and outputs, added one by one -> one ONNX model of a given variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from pipeline.export.ensemble import ML_DOMAIN, LeafOutputs, tree_ensemble, tree_ensemble_regressor
from pipeline.export.trees import Forest


@dataclass(frozen=True)
class Variant:
    """Operator sets and number type of an ONNX file, and the runtime that can read it."""

    dtype: type[np.floating]
    """Of the input, the thresholds, the sums and the outputs."""
    opset: int
    ml_opset: int
    ir_version: int
    oldest_onnxruntime: str
    tolerance: float
    """Largest difference of a probability from the booster's that the parity gate lets pass."""


VARIANTS: Final[Mapping[str, Variant]] = {
    "field": Variant(np.float32, 15, 3, 8, "1.16.3", 1e-6),
    "large_categories": Variant(np.float32, 21, 5, 10, "1.23", 1e-6),
    "reference": Variant(np.float64, 21, 5, 10, "1.23", 1e-14),
}


class GraphBuilder:
    """Nodes, constants, inputs and outputs as they are added, each node named after what it gives."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.dtype = variant.dtype
        self.kind = helper.np_dtype_to_tensor_dtype(np.dtype(variant.dtype))
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def add(self, operator: str, *inputs: str, output: str, **attributes: Any) -> str:
        """Add a node of one output; return the output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def add_trees(self, forest: Forest, leaves: LeafOutputs, source: str, output: str) -> str:
        """Add the tree operator of the variant; return the output's name.

        Parameters
        ----------
        forest, leaves
            The trees, and what their leaves give.
        source
            Name of the features, (rows, features).
        output
            Name of the result, (rows, targets).
        """
        if self.variant.ml_opset < 5:
            node = tree_ensemble_regressor(forest, leaves, source, output, name=output)
        else:
            node = tree_ensemble(forest, leaves, source, output, name=output, dtype=self.dtype)
        self.nodes.append(node)
        return output

    def constant(self, name: str, value: object, dtype: type[np.generic]) -> str:
        """Add a constant; return its name.

        Parameters
        ----------
        name
            Of the constant; one already there is replaced.
        value
            A number, nested lists or an array.
        dtype
            Of its elements.
        """
        self.constants[name] = np.asarray(value, dtype)
        return name

    def zero(self) -> str:
        """Return the name of 0, in double."""
        return self.constant("zero_double", 0, np.float64)

    def second_axis(self) -> str:
        """Return the name of the axis along a row, to sum over."""
        return self.constant("second_axis", [1], np.int64)

    def clip(self, log_odds: str, limit: float | None, output: str) -> str:
        """Clip log-odds to ± `limit`, if there is one; return the name of the result.

        Parameters
        ----------
        log_odds
            Name of (rows, columns), double.
        limit
            Log-odds, above 0.
        output
            Name of the result.
        """
        if limit is None:
            return log_odds
        low = self.constant("least_log_odds", -limit, np.float64)
        high = self.constant("largest_log_odds", limit, np.float64)
        return self.add("Clip", log_odds, low, high, output=output)

    def add_input(self, name: str, shape: Sequence[int | str], kind: int | None = None) -> str:
        """Add an input; return its name. A constant of the same name is its default.

        Parameters
        ----------
        name
            Of the input.
        shape
            A number, or the name of an open dimension, for each axis.
        kind
            Of its elements, from `TensorProto`; the variant's type unless given.
        """
        self.inputs.append(helper.make_tensor_value_info(name, kind or self.kind, shape))
        return name

    def add_output(self, name: str, shape: Sequence[int | str]) -> None:
        """Make a value of the graph an output, of the variant's type."""
        self.outputs.append(helper.make_tensor_value_info(name, self.kind, shape))

    def branch(self) -> "GraphBuilder":
        """Return a graph for a branch of this one: it sees this one's values and adds to its constants."""
        branch = GraphBuilder(self.variant)
        branch.constants = self.constants
        return branch

    def add_optional_outputs(self, switch: str, branch: "GraphBuilder", columns: Mapping[str, int]) -> None:
        """Add outputs that a branch computes when an input is true, at next to no cost otherwise.

        Parameters
        ----------
        switch
            Name of the input, false unless given.
        branch
            Computes each output under the name ``<output>_computed``.
        columns
            By output: how many columns it has. It has no rows where the input is false.
        """

        def outputs(ending: str) -> list[ValueInfoProto]:
            return [
                helper.make_tensor_value_info(f"{output}_{ending}", self.kind, [None, width])
                for output, width in columns.items()
            ]

        empty = [
            helper.make_node(
                "Identity", [self.constant(f"no_{output}", np.zeros((0, width)), self.dtype)], [f"{output}_empty"]
            )
            for output, width in columns.items()
        ]
        self.add_input(switch, [], TensorProto.BOOL)
        self.constant(switch, False, np.bool_)  # the input's default
        bodies = {
            "then_branch": helper.make_graph(branch.nodes, f"{switch}_true", [], outputs("computed")),
            "else_branch": helper.make_graph(empty, f"{switch}_false", [], outputs("empty")),
        }
        self.nodes.append(helper.make_node("If", [switch], [*columns], name=switch, **bodies))
        for name, width in columns.items():
            self.add_output(name, [f"{switch}_rows", width])

    def model(self, name: str) -> ModelProto:
        """Return the graph as a model, checked."""
        graph = helper.make_graph(
            self.nodes,
            name,
            self.inputs,
            self.outputs,
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", self.variant.opset),
                helper.make_opsetid(ML_DOMAIN, self.variant.ml_opset),
            ],
            ir_version=self.variant.ir_version,
            producer_name="cied-pipeline",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
