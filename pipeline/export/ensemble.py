"""`Forest` -> one ONNX tree operator that sends every row to the leaf that LightGBM sends it to.

There are two operators. `TreeEnsembleRegressor` (ai.onnx.ml 3, float32) runs on every onnxruntime in the field.
`TreeEnsemble` (ai.onnx.ml 5, float32 or double) serves large category sets and sums in double.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from pipeline.export.trees import MISSING_NONE, ZERO_THRESHOLD, Forest

ML_DOMAIN = "ai.onnx.ml"

_LEQ, _MEMBER = 0, 6  # modes of TreeEnsemble


@dataclass(frozen=True)
class LeafOutputs:
    """What each leaf gives, and to which of the operator's outputs: arrays of shape (leaves,)."""

    target: NDArray[np.integer]
    weight: NDArray[np.float64]
    n_targets: int

    @classmethod
    def log_odds(cls, forest: Forest, *, trees_per_sum: int) -> "LeafOutputs":
        """Return the log-odds, with a target for every `trees_per_sum` trees: float32 sums of few terms stay exact."""
        target = forest.leaf_tree // trees_per_sum
        return cls(target, forest.leaf_log_odds, int(target[-1]) + 1)

    @classmethod
    def number(cls, forest: Forest) -> "LeafOutputs":
        """Return a target for each tree: the number of the leaf within the tree."""
        return cls(forest.leaf_tree, forest.leaf_number.astype(np.float64), forest.n_trees)


def thresholds(forest: Forest, dtype: type[np.floating]) -> NDArray[np.floating]:
    """Return the thresholds that split the values of `dtype` exactly as LightGBM does.

    For a float32 x, ``x <= t`` is the same question as ``x <= floor32(t)``. LightGBM also reads every |x| up to
    `ZERO_THRESHOLD` as 0. A threshold inside that band therefore moves to the end that keeps the band together.

    Returns
    -------
    (nodes,) of `dtype`; NaN where the node tests for a category.
    """
    zero = dtype(ZERO_THRESHOLD)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, and then steps down to the largest
        floor = forest.threshold.astype(dtype)
    floor = np.where(floor > forest.threshold, np.nextafter(floor, dtype(-np.inf)), floor)
    floor = np.where((forest.threshold >= 0) & (forest.threshold < zero), zero, floor)
    below_band = np.nextafter(-zero, dtype(-np.inf))
    return np.where((forest.threshold < 0) & (forest.threshold >= -zero), below_band, floor).astype(dtype)


def missing_goes_left(forest: Forest) -> NDArray[np.bool_]:
    """Return (nodes,) where NaN goes: to the node's default side, or as 0 where the node knows no missing value."""
    with np.errstate(invalid="ignore"):
        zero_goes_left = forest.threshold >= 0
    goes_left = np.where(forest.missing == MISSING_NONE, zero_goes_left, forest.default_left)
    return goes_left & ~forest.is_categorical


def tree_ensemble_regressor(forest: Forest, leaves: LeafOutputs, source: str, output: str, *, name: str) -> NodeProto:
    """Return the operator of ai.onnx.ml 3: float32, (rows, features) `source` -> (rows, targets) `output`.

    The operator knows no sets: a node that tests for one of k categories becomes a chain of k equalities. Where the
    codes are at most 32, onnxruntime folds the chain into a bit mask. All links of a chain share their left child.

    Parameters
    ----------
    forest, leaves
        The trees, and what their leaves give.
    source, output
        Names of the operator's input and output.
    name
        Of the node.
    """
    links = np.array([max(len(codes), 1) for codes in forest.categories], np.int64)
    node = np.repeat(np.arange(len(links)), links)  # the node that each link belongs to
    tree = forest.node_tree[node]
    links_in_tree = np.bincount(tree, minlength=forest.n_trees)
    number = np.arange(len(node)) - (np.cumsum(links_in_tree) - links_in_tree)[tree]
    first_link = np.cumsum(links) - links
    is_last = np.isin(np.arange(len(node)), first_link + links - 1)
    # within a tree the leaves are numbered after the links
    leaf_id = links_in_tree[forest.leaf_tree] + forest.leaf_number

    def child_id(child: NDArray[np.int32]) -> NDArray[np.int64]:
        ids = np.empty(len(child), np.int64)
        ids[child < 0] = leaf_id[~child[child < 0]]
        ids[child >= 0] = number[first_link[child[child >= 0]]]
        return ids[node]

    categorical = forest.is_categorical[node]
    values = thresholds(forest, np.float32)[node]
    values[categorical] = [code for codes in forest.categories for code in codes]
    order = np.argsort(np.concatenate([tree, forest.leaf_tree]), kind="stable")
    none = np.zeros(len(leaf_id), np.int64)

    def laid_out(of_links: NDArray[Any], of_leaves: NDArray[Any]) -> list[Any]:
        """Return a tree's links, then its leaves, then the next tree's."""
        values: list[Any] = np.concatenate([of_links, of_leaves])[order].tolist()
        return values

    return helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        [output],
        name=name,
        domain=ML_DOMAIN,
        nodes_treeids=laid_out(tree, forest.leaf_tree),
        nodes_nodeids=laid_out(number, leaf_id),
        nodes_featureids=laid_out(forest.feature[node], none),
        nodes_modes=laid_out(np.where(categorical, "BRANCH_EQ", "BRANCH_LEQ"), np.full(len(leaf_id), "LEAF")),
        nodes_values=laid_out(values, none),
        nodes_truenodeids=laid_out(child_id(forest.left), none),
        nodes_falsenodeids=laid_out(np.where(is_last, child_id(forest.right), number + 1), none),
        nodes_missing_value_tracks_true=laid_out(missing_goes_left(forest)[node].astype(np.int64), none),
        target_treeids=forest.leaf_tree.tolist(),
        target_nodeids=leaf_id.tolist(),
        target_ids=leaves.target.tolist(),
        target_weights=leaves.weight.tolist(),
        n_targets=leaves.n_targets,
    )


def tree_ensemble(
    forest: Forest, leaves: LeafOutputs, source: str, output: str, *, name: str, dtype: type[np.floating]
) -> NodeProto:
    """Return the operator of ai.onnx.ml 5, which knows sets: (rows, features) `source` -> (rows, targets) `output`.

    Parameters
    ----------
    forest, leaves, source, output, name
        As for `tree_ensemble_regressor`.
    dtype
        Of the thresholds, the leaves' weights and the output.
    """
    # a tree without a split becomes a node both of whose children are its only leaf
    single_leaf = np.flatnonzero(forest.root < 0)
    roots = forest.root.copy()
    roots[single_leaf] = len(forest.feature) + np.arange(len(single_leaf))
    left, right = (np.append(side, forest.root[single_leaf]) for side in (forest.left, forest.right))

    def extended(values: NDArray[Any], kind: type[np.generic] = np.int64) -> NDArray[Any]:
        return np.append(values, np.zeros(len(single_leaf))).astype(kind)

    def tensor(values: NDArray[Any]) -> TensorProto:
        return numpy_helper.from_array(values)

    splits = np.where(forest.is_categorical, 0, thresholds(forest, dtype))
    attributes: dict[str, Any] = {
        "tree_roots": roots.tolist(),
        "nodes_featureids": extended(forest.feature).tolist(),
        "nodes_modes": tensor(extended(np.where(forest.is_categorical, _MEMBER, _LEQ), np.uint8)),
        "nodes_splits": tensor(extended(splits, dtype)),
        "nodes_truenodeids": np.where(left < 0, ~left, left).tolist(),
        "nodes_trueleafs": (left < 0).astype(int).tolist(),
        "nodes_falsenodeids": np.where(right < 0, ~right, right).tolist(),
        "nodes_falseleafs": (right < 0).astype(int).tolist(),
        "nodes_missing_value_tracks_true": extended(missing_goes_left(forest)).tolist(),
        "leaf_targetids": leaves.target.tolist(),
        "leaf_weights": tensor(leaves.weight.astype(dtype)),
        "n_targets": leaves.n_targets,
    }
    if forest.is_categorical.any():
        sets = [np.append(codes, np.nan) for codes in forest.categories if len(codes)]  # NaN ends a set
        attributes["membership_values"] = tensor(np.concatenate(sets).astype(dtype))
    return helper.make_node("TreeEnsemble", [source], [output], name=name, domain=ML_DOMAIN, **attributes)
