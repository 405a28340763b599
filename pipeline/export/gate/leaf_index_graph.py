"""An exported model -> its leaf-index graph: the same splits by the same operator, but leaves give their numbers."""

from typing import Any

import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from pipeline.export.ensemble import LeafOutputs
from pipeline.export.graph import TREES
from pipeline.export.trees import Forest


def leaf_index_graph(model: ModelProto, forest: Forest) -> ModelProto:
    """Return a model with one output `trees` (rows, trees): the number of the leaf that each row ends in.

    It is cut out of `model` itself: the shipped bytes decide where a row goes, not a second build.
    """
    trees = next(node for node in model.graph.node if node.name == TREES)
    indices = NodeProto()
    indices.CopyFrom(trees)
    indices.output[0] = TREES
    numbers = LeafOutputs.number(forest)
    changed: dict[str, Any] = {"n_targets": numbers.n_targets}
    if trees.op_type == "TreeEnsemble":
        weights = next(attribute.t for attribute in trees.attribute if attribute.name == "leaf_weights")
        dtype = helper.tensor_dtype_to_np_dtype(weights.data_type)
        changed["leaf_targetids"] = numbers.target.tolist()
        changed["leaf_weights"] = numpy_helper.from_array(numbers.weight.astype(dtype))
    else:
        changed["target_ids"] = numbers.target.tolist()
        changed["target_weights"] = numbers.weight.tolist()
    kept = [attribute for attribute in indices.attribute if attribute.name not in changed]
    del indices.attribute[:]
    indices.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in changed.items())])

    before = list(model.graph.node)[: list(model.graph.node).index(trees)]  # what prepares the trees' input
    nodes = [*before, indices]
    used = {name for node in nodes for name in node.input}
    features = [entry for entry in model.graph.input if entry.name in used]
    kind = features[0].type.tensor_type.elem_type
    graph = helper.make_graph(
        nodes,
        f"{model.graph.name}_leaves",
        features,
        [helper.make_tensor_value_info(TREES, kind, ["rows", forest.n_trees])],
        [constant for constant in model.graph.initializer if constant.name in used],
    )
    result = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(result, full_check=True)
    return result
