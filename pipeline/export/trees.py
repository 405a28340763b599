"""The text of a LightGBM model -> `Forest`: its trees as flat arrays, or the reason why export is impossible."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from threat_scorer.scoring.float32 import LARGEST_INTEGER

Scalar = TypeVar("Scalar", bound=np.generic)

MISSING_NONE: Final = 0
MISSING_ZERO: Final = 1
MISSING_NAN: Final = 2

ZERO_THRESHOLD: Final = np.float32(1e-35)
"""LightGBM reads every |x| up to this as 0 before it walks a tree (`kZeroThreshold`)."""


class ModelNotExportable(ValueError):
    """A booster that no exported graph would follow faithfully; the message gives the reason."""


@dataclass(frozen=True)
class Forest:
    """The trees of a binary booster, laid out flat: tree after tree, in LightGBM's own numbering.

    An inner node tests one condition and sends a row left where it is true. A child is an index into the node arrays,
    or ``~leaf`` (negative), an index into the leaf arrays. A child always comes after its parent.
    """

    feature_names: tuple[str, ...]
    feature: NDArray[np.int32]
    """(nodes,) column that the node looks at."""
    threshold: NDArray[np.float64]
    """(nodes,) left when value <= threshold; NaN where the node tests for a category."""
    default_left: NDArray[np.bool_]
    """(nodes,) where a missing value goes, if the node knows missing values."""
    missing: NDArray[np.int8]
    """(nodes,) what counts as missing: nothing, NaN and 0, or NaN."""
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    categories: tuple[NDArray[np.int64], ...]
    """For each node the codes that go left, ascending; empty where the node compares with a threshold."""
    root: NDArray[np.int32]
    """(trees,) first node of each tree, or ``~leaf`` of a tree without a split."""
    node_tree: NDArray[np.int32]
    leaf_tree: NDArray[np.int32]
    leaf_value: NDArray[np.float64]
    leaf_count: NDArray[np.float64]
    """(leaves,) training rows that ended there."""
    sigmoid: float
    """log-odds = sigmoid x the trees' output."""
    average: bool
    """The trees' output is their mean (random forest), not their sum."""

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.root)

    @property
    def is_categorical(self) -> NDArray[np.bool_]:
        """(nodes,) whether the node tests for a category."""
        return np.isnan(self.threshold)

    @property
    def first_leaf(self) -> NDArray[np.int64]:
        """(trees,) index of each tree's first leaf."""
        return np.searchsorted(self.leaf_tree, np.arange(self.n_trees))

    @property
    def leaf_number(self) -> NDArray[np.int32]:
        """(leaves,) number of each leaf within its tree, as `Booster.predict(pred_leaf=True)` gives it."""
        return (np.arange(len(self.leaf_tree)) - self.first_leaf[self.leaf_tree]).astype(np.int32)

    @property
    def leaf_log_odds(self) -> NDArray[np.float64]:
        """(leaves,) what each leaf adds to the log-odds: sigmoid and averaging are in it."""
        scale = self.sigmoid / self.n_trees if self.average else self.sigmoid
        return self.leaf_value * scale

    def columns(self, *, categorical: bool) -> NDArray[np.int32]:
        """Return the columns that categorical nodes, or the others, look at; ascending."""
        return np.unique(self.feature[self.is_categorical == categorical])

    @property
    def zero_as_missing(self) -> NDArray[np.int32]:
        """Columns in which 0 is a missing value; ascending."""
        return np.unique(self.feature[(self.missing == MISSING_ZERO) & ~self.is_categorical])


def parse(text: str) -> Forest:
    """Read a model as `Booster.model_to_string` or `Booster.save_model` writes it.

    This reads the text, not `dump_model`, because the text has every number in full. The dump prints an infinite
    threshold ("is it missing?") as 1e300, which sends +inf to the wrong side.

    Raises
    ------
    ModelNotExportable
        More than one class, linear trees, an objective whose output is not sigmoid(sum of leaves), a column read
        both as a category and as a number, a category code that float32 cannot hold.
    """
    header, *trees = _blocks(text)
    sigmoid = _sigmoid(header)
    parts = [_tree(fields, number) for number, fields in enumerate(trees)]
    if not parts:
        raise ModelNotExportable("the model has no trees; expected at least one")
    nodes = np.cumsum([0, *(len(part.feature) for part in parts)])
    leaves = np.cumsum([0, *(len(part.leaf_value) for part in parts)])
    forest = Forest(
        feature_names=tuple(header["feature_names"].split(" ")),
        feature=np.concatenate([part.feature for part in parts]),
        threshold=np.concatenate([part.threshold for part in parts]),
        default_left=np.concatenate([part.default_left for part in parts]),
        missing=np.concatenate([part.missing for part in parts]),
        left=np.concatenate([_moved(part.left, nodes[i], leaves[i]) for i, part in enumerate(parts)]),
        right=np.concatenate([_moved(part.right, nodes[i], leaves[i]) for i, part in enumerate(parts)]),
        categories=tuple(codes for part in parts for codes in part.categories),
        root=np.where(np.diff(nodes) > 0, nodes[:-1], ~leaves[:-1]).astype(np.int32),
        node_tree=np.repeat(np.arange(len(parts)), np.diff(nodes)).astype(np.int32),
        leaf_tree=np.repeat(np.arange(len(parts)), np.diff(leaves)).astype(np.int32),
        leaf_value=np.concatenate([part.leaf_value for part in parts]),
        leaf_count=np.concatenate([part.leaf_count for part in parts]),
        sigmoid=sigmoid,
        average="average_output" in header,
    )
    _refuse_mixed_columns(forest)
    return forest


@dataclass(frozen=True)
class _Tree:
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    default_left: NDArray[np.bool_]
    missing: NDArray[np.int8]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    categories: list[NDArray[np.int64]]
    leaf_value: NDArray[np.float64]
    leaf_count: NDArray[np.float64]


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield the header and then each tree as its ``key=value`` lines."""
    body, end, _ = text.partition("\nend of trees")
    if not text.startswith("tree\n") or not end:
        raise ModelNotExportable("not a LightGBM model text; expected it to open with 'tree' and hold 'end of trees'")
    for block in body.split("\nTree="):
        lines = (line.partition("=") for line in block.split("\n") if line)
        yield {key: value for key, _, value in lines}


def _sigmoid(header: dict[str, str]) -> float:
    """Return the factor between the trees' output and the log-odds."""
    if header.get("num_class") != "1" or header.get("num_tree_per_iteration") != "1":
        raise ModelNotExportable(f"the model has {header.get('num_class')} classes; expected one output")
    objective, *options = header.get("objective", "none given").split(" ")
    if objective == "cross_entropy":
        return 1.0
    if objective != "binary":
        raise ModelNotExportable(
            f"objective {header.get('objective', 'none given')!r} has no log-odds; expected 'binary' or 'cross_entropy'"
        )
    return next((float(option.removeprefix("sigmoid:")) for option in options if option.startswith("sigmoid:")), 1.0)


def _tree(fields: dict[str, str], number: int) -> _Tree:
    if fields.get("is_linear", "0") != "0":
        raise ModelNotExportable(
            f"tree {number} is linear (linear_tree=true): its leaves are formulas, which ONNX trees have not"
        )
    decision = _numbers(fields, "decision_type", np.int64)
    categorical = (decision & 1).astype(bool)
    threshold = _numbers(fields, "threshold", np.float64)
    categories = [np.array([], np.int64)] * len(decision)
    if categorical.any():
        sets = _category_sets(fields, number)
        for node in np.flatnonzero(categorical):
            categories[node] = sets[int(threshold[node])]
    left, right = (_numbers(fields, f"{side}_child", np.int32) for side in ("left", "right"))
    parents = np.arange(len(left))
    if ((left >= 0) & (left <= parents) | (right >= 0) & (right <= parents)).any():
        raise ModelNotExportable(f"tree {number}: a child comes before its parent; LightGBM never writes that")
    return _Tree(
        feature=_numbers(fields, "split_feature", np.int32),
        threshold=np.where(categorical, np.nan, threshold),
        default_left=(decision & 2).astype(bool),
        missing=((decision >> 2) & 3).astype(np.int8),
        left=left,
        right=right,
        categories=categories,
        leaf_value=_numbers(fields, "leaf_value", np.float64),
        leaf_count=_numbers(fields, "leaf_count", np.float64) if "leaf_count" in fields else np.ones(1),
    )


def _category_sets(fields: dict[str, str], number: int) -> list[NDArray[np.int64]]:
    """Return the sets that LightGBM keeps as bits, 32 codes a word."""
    bounds = _numbers(fields, "cat_boundaries", np.int64)
    words = _numbers(fields, "cat_threshold", np.uint32).astype("<u4")
    sets = [np.flatnonzero(np.unpackbits(words[a:b].view(np.uint8), bitorder="little")) for a, b in pairwise(bounds)]
    if not all(len(codes) for codes in sets):
        raise ModelNotExportable(f"tree {number}: a set of no categories; LightGBM never writes that")
    largest = max(int(codes[-1]) for codes in sets)
    if largest > LARGEST_INTEGER:
        raise ModelNotExportable(
            f"tree {number}: category {largest}; expected at most {LARGEST_INTEGER}, which float32 holds exactly"
        )
    return sets


def _numbers(fields: dict[str, str], key: str, kind: type[Scalar]) -> NDArray[Scalar]:
    return np.array(fields.get(key, "").split(), dtype=kind)


def _moved(child: NDArray[np.int32], nodes_before: int, leaves_before: int) -> NDArray[np.int32]:
    return np.where(child >= 0, child + nodes_before, child - leaves_before).astype(np.int32)


def _refuse_mixed_columns(forest: Forest) -> None:
    """Refuse a column that needs two preparations at once; boosting on from another data set can make one."""
    numeric = ~forest.is_categorical
    with_zero = np.unique(forest.feature[numeric & (forest.missing != MISSING_ZERO)])
    for left, right, reason in (
        (forest.columns(categorical=True), forest.columns(categorical=False), "as a category and as a number"),
        (with_zero, forest.zero_as_missing, "with and without zero as a missing value"),
    ):
        if len(shared := np.intersect1d(left, right)):
            raise ModelNotExportable(
                f"feature {forest.feature_names[shared[0]]!r} is read {reason}; expected one of them"
            )
