"""Two leaves of one tree -> the first node where the ways to them diverge, in words."""

import numpy as np
from numpy.typing import NDArray

from pipeline.export.trees import Forest


def first_divergence(forest: Forest, row: NDArray[np.float32], *, tree: int, lightgbm: int, onnx: int) -> str:
    """Return a text that names the node at which LightGBM and ONNX diverge.

    Parameters
    ----------
    row
        (features,) the row that they disagree on.
    tree
        Number of the tree.
    lightgbm, onnx
        Number of the leaf, within the tree, where each ends.
    """
    first = int(np.searchsorted(forest.leaf_tree, tree))
    ways = [_way(forest, first + leaf) for leaf in (lightgbm, onnx)]
    node, goes_left = next(left for left, right in zip(*ways, strict=False) if left != right)
    sides = ("left", "right") if goes_left else ("right", "left")
    codes = forest.categories[node]
    question = f"one of {codes.tolist()}?" if len(codes) else f"<= {float(forest.threshold[node])!r}?"
    column = forest.feature[node]
    return (
        f"tree {tree}, node {node - int(np.searchsorted(forest.node_tree, tree))}: "
        f"{forest.feature_names[column]} = {row[column]}, {question} LightGBM goes {sides[0]} to leaf {lightgbm}, "
        f"ONNX goes {sides[1]} to leaf {onnx}"
    )


def _way(forest: Forest, leaf: int) -> list[tuple[int, bool]]:
    """Return each node on the way from the root to a leaf, and whether the way turns left there."""
    way: list[tuple[int, bool]] = []
    child = ~leaf
    while child not in forest.root:
        parent = np.flatnonzero((forest.left == child) | (forest.right == child))[0]
        way.append((int(parent), bool(forest.left[parent] == child)))
        child = int(parent)
    return way[::-1]
