"""What an ONNX graph is put together from: the forms it may take, and its parts as they are added, each with a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from pipeline.export.ensemble import ML_DOMAIN, LeafOutputs, tree_ensemble, tree_ensemble_regressor
from pipeline.export.trees import Forest


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


FORMS: Final[Mapping[str, Form]] = {
    "field": Form(np.float32, 15, 3, 8, "1.16.3", 1e-6),
    "large_categories": Form(np.float32, 21, 5, 10, "1.23", 1e-6),
    "reference": Form(np.float64, 21, 5, 10, "1.23", 1e-14),
}


class Graph:
    """Nodes, constants, inputs and outputs as they are added, each node named after what it gives."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.dtype = form.dtype
        self.kind = helper.np_dtype_to_tensor_dtype(np.dtype(form.dtype))
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def add(self, operator: str, *inputs: str, output: str, **attributes: Any) -> str:
        """Add a node of one output; return the output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def add_trees(self, forest: Forest, leaves: LeafOutputs, source: str, output: str) -> str:
        """Add the tree operator of the form."""
        if self.form.ml_opset < 5:
            node = tree_ensemble_regressor(forest, leaves, source, output, name=output)
        else:
            node = tree_ensemble(forest, leaves, source, output, name=output, dtype=self.dtype)
        self.nodes.append(node)
        return output

    def constant(self, name: str, value: object, dtype: type[np.generic]) -> str:
        """Add a constant; return its name."""
        self.constants[name] = np.asarray(value, dtype)
        return name

    def nothing(self) -> str:
        """Return the name of 0, in double."""
        return self.constant("nothing", 0, np.float64)

    def second_axis(self) -> str:
        """Return the name of the axis along a row, to sum over."""
        return self.constant("second_axis", [1], np.int64)

    def limited(self, log_odds: str, limit: float | None, output: str) -> str:
        """Hold log-odds within ± `limit`, if there is one."""
        if limit is None:
            return log_odds
        low = self.constant("least_log_odds", -limit, np.float64)
        high = self.constant("largest_log_odds", limit, np.float64)
        return self.add("Clip", log_odds, low, high, output=output)

    def takes(self, name: str, shape: Sequence[int | str], kind: int | None = None) -> str:
        """Add an input, of the form's type unless said; with a constant of the same name, that is its default."""
        self.inputs.append(helper.make_tensor_value_info(name, kind or self.kind, shape))
        return name

    def gives(self, name: str, shape: Sequence[int | str]) -> None:
        """Name an output, of the form's type."""
        self.outputs.append(helper.make_tensor_value_info(name, self.kind, shape))

    def branch(self) -> "Graph":
        """Return a graph for a branch of this one: it sees this one's values and adds to its constants."""
        branch = Graph(self.form)
        branch.constants = self.constants
        return branch

    def add_asked(self, asked: str, branch: "Graph", columns: Mapping[str, int]) -> None:
        """Add outputs that a branch computes when the input `asked` is true, at next to no cost otherwise.

        Parameters
        ----------
        columns
            By output: how many columns it has. The branch gives it as ``<output>_asked``; unasked, it has no rows.
        """

        def body(name: str, nodes: list[NodeProto], ending: str) -> GraphProto:
            outputs = [
                helper.make_tensor_value_info(f"{output}_{ending}", self.kind, [None, width])
                for output, width in columns.items()
            ]
            return helper.make_graph(nodes, name, [], outputs)

        nothing = [
            helper.make_node(
                "Identity", [self.constant(f"no_{output}", np.zeros((0, width)), self.dtype)], [f"{output}_unasked"]
            )
            for output, width in columns.items()
        ]
        self.takes(asked, [], TensorProto.BOOL)
        self.constant(asked, False, np.bool_)  # the input's default
        bodies = {
            "then_branch": body(f"{asked}_yes", branch.nodes, "asked"),
            "else_branch": body(f"{asked}_no", nothing, "unasked"),
        }
        self.nodes.append(helper.make_node("If", [asked], [*columns], name=asked, **bodies))
        for name, width in columns.items():
            self.gives(name, [f"{asked}_rows", width])

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
                helper.make_opsetid("", self.form.opset),
                helper.make_opsetid(ML_DOMAIN, self.form.ml_opset),
            ],
            ir_version=self.form.ir_version,
            producer_name="cied-pipeline",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
