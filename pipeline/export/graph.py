"""`Forest` and the formula around it -> one ONNX model: features in, `probability` and `log_odds` out.

The same model gives the same bytes: parts are named after what they are, and nothing is dated or random.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from pipeline.export.ensemble import LeafOutputs
from pipeline.export.graph_builder import VARIANTS, GraphBuilder
from pipeline.export.optional_outputs import add_assessment, add_explanations, add_log_odds
from pipeline.export.trees import ZERO_THRESHOLD, Forest
from pipeline.model.intervals import IntervalTable
from pipeline.model.log_odds import CalibratedLogOdds
from pipeline.model.novelty import Novelty
from threat_scorer.scoring.float32 import LARGEST_INTEGER

TREES: Final = "trees"
"""Name of the tree operator that gives the log-odds."""

TREES_PER_SUM: Final = 32
"""Trees whose log-odds the operator adds up in float32; their sums are added in double."""


def build(
    forest: Forest,
    formula: CalibratedLogOdds,
    *,
    name: str,
    interval: IntervalTable | None = None,
    novelty: Novelty | None = None,
    variant: str = "field",
    named: bool = False,
    typical: NDArray[np.float64] | None = None,
) -> ModelProto:
    """Return the whole model as one graph.

    Parameters
    ----------
    forest, formula
        The trees, and what makes the model's log-odds of theirs; its baseline reads all features.
    name
        Of the graph.
    interval, novelty
        Further outputs for a row, where the model has them.
    variant
        A key of `VARIANTS`.
    named
        Whether each feature is an input of its own, (rows, 1), in place of one matrix `features`.
    typical
        (features,) the mean training row. With it the graph can also give explanations.

    Returns
    -------
    Input `features` (rows, features); outputs `probability` and `log_odds`, both (rows, 1), all of the variant's type.

    With a base rate: an optional input `prior_log_odds`, double (rows, 1), or (1, 1) for all rows. It is the place's
    log-odds, fused with the model's own. If not given, those of the base rate take its place, which changes nothing.

    With an interval and novelty: an optional input `assess`, false unless given. Its outputs are `interval` (rows, 2),
    lower and upper probability; `own_log_odds` (rows, 1), without a prior; `novelty` (rows, 1), above 1 where a row is
    unlike the training. With explanations: the input `explain` and the output `contributions` (rows, features), the
    log-odds that each feature adds to those of a typical row. Outputs that are not requested have no rows.
    """
    graph = GraphBuilder(VARIANTS[variant])
    _take_features(graph, forest, named=named)
    source = _prepared(graph, forest)
    sums = _add_tree_sums(graph, forest, source, formula.slope)
    clipped = _clipped(graph) if formula.baseline or novelty else ""
    total = add_log_odds(graph, formula, sums, clipped, _add_offset(graph, formula), "total")
    _add_outputs(graph, total, formula.limit)
    if interval or novelty:
        add_assessment(graph, formula, interval, novelty, sums, clipped)
    if typical is not None:
        add_explanations(graph, forest, formula, source, clipped, typical)
    return graph.model(name)


def _take_features(graph: GraphBuilder, forest: Forest, *, named: bool) -> None:
    n = len(forest.feature_names)
    if named:
        columns = [graph.add_input(name, ["rows", 1]) for name in forest.feature_names]
        graph.add("Concat", *columns, output="features", axis=1)
    else:
        graph.add_input("features", ["rows", n])


def _prepared(graph: GraphBuilder, forest: Forest) -> str:
    """Add those steps of LightGBM's preparation of a value that the tree operator cannot do itself."""
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


def _clipped(graph: GraphBuilder) -> str:
    """Add the values as the baseline reads them: in double, missing as 0, none beyond what float32 counts by ones."""
    double = graph.add("Cast", "features", output="features_double", to=TensorProto.DOUBLE)
    is_nan = graph.add("IsNaN", double, output="is_nan")
    filled = graph.add("Where", is_nan, graph.zero(), double, output="features_filled")
    low = graph.constant("least_value", -LARGEST_INTEGER, np.float64)
    high = graph.constant("largest_value", LARGEST_INTEGER, np.float64)
    return graph.add("Clip", filled, low, high, output="features_clipped")


def _add_tree_sums(graph: GraphBuilder, forest: Forest, source: str, slope: float) -> str:
    """Add the trees: (rows, sums), double.

    A tree operator in float32 also sums in float32. It sums a few trees at a time, and the sums are summed in double.
    """
    exact = graph.dtype is np.float64
    leaves = LeafOutputs.log_odds(forest, trees_per_sum=forest.n_trees if exact else TREES_PER_SUM)
    sums = graph.add_trees(forest, leaves, source, TREES)
    graph.constant("tree_slopes", np.full((leaves.n_targets, 1), slope), np.float64)
    return sums if exact else graph.add("Cast", sums, output="trees_double", to=TensorProto.DOUBLE)


def _add_offset(graph: GraphBuilder, formula: CalibratedLogOdds) -> str:
    """Add what does not depend on the features: (1, 1), or with a prior for each row (rows, 1)."""
    intercept = graph.constant("intercept", [[formula.intercept]], np.float64)
    if formula.base_log_odds is None:
        return intercept
    graph.add_input("prior_log_odds", ["prior_rows", 1], TensorProto.DOUBLE)
    graph.constant("prior_log_odds", [[formula.base_log_odds]], np.float64)  # the input's default
    less_base_rate = graph.constant(
        "intercept_less_base_rate", [[formula.intercept - formula.base_log_odds]], np.float64
    )
    return graph.add("Add", "prior_log_odds", less_base_rate, output="offset")


def _add_outputs(graph: GraphBuilder, total: str, limit: float | None) -> None:
    graph.add("Cast", graph.clip(total, limit, "total_clipped"), output="log_odds", to=graph.kind)
    graph.add("Sigmoid", "log_odds", output="probability")
    graph.add_output("probability", ["rows", 1])
    graph.add_output("log_odds", ["rows", 1])
