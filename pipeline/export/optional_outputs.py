"""`Forest`, formula, interval and novelty -> the outputs of the graph that are computed on request only."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from pipeline.export.ensemble import LeafOutputs
from pipeline.export.explanations import leaf_contributions
from pipeline.export.graph_builder import GraphBuilder
from pipeline.export.trees import Forest
from pipeline.model.intervals import IntervalTable
from pipeline.model.log_odds import CalibratedLogOdds
from pipeline.model.novelty import Novelty


def add_log_odds(
    graph: GraphBuilder, formula: CalibratedLogOdds, sums: str, clipped: str, offset: str, output: str
) -> str:
    """Add ``slope * (baseline + trees) + offset``; return the name of the result, (rows, 1), double.

    It takes few nodes, for each costs a record about as long as ten trees.

    Parameters
    ----------
    graph
        Holds the constant `tree_slopes`, (sums, 1).
    formula
        Its baseline reads all features.
    sums
        Name of the trees' sums, (rows, sums), double.
    clipped
        Name of the features as a baseline reads them, (rows, features), double; empty where nothing reads them.
    offset
        Name of all the rest, with the intercepts in it, (1, 1) or (rows, 1), double.
    output
        Name of the result.
    """
    if graph.dtype is np.float64:
        return _add_exact_log_odds(graph, formula, sums, clipped, offset, output)
    if formula.baseline:
        weights = graph.constant("baseline_weights", formula.slope * formula.baseline.vector[:, None], np.float64)
        offset = graph.add("Gemm", clipped, weights, offset, output=f"{output}_without_trees")
    return graph.add("Gemm", sums, "tree_slopes", offset, output=output)


def _add_exact_log_odds(
    graph: GraphBuilder, formula: CalibratedLogOdds, sums: str, clipped: str, offset: str, output: str
) -> str:
    """Do the same in the order of `CalibratedLogOdds.own_log_odds`, for values of 2^24 leave no digit to spare."""
    if formula.baseline:
        weights = graph.constant("baseline_weights", formula.baseline.vector[:, None], np.float64)
        product = graph.add("MatMul", clipped, weights, output=f"{output}_product")
        intercept = graph.constant("baseline_intercept", [[formula.baseline.intercept]], np.float64)
        baseline = graph.add("Add", product, intercept, output=f"{output}_baseline")
        sums = graph.add("Add", sums, baseline, output=f"{output}_boosted")
        inside = graph.constant("intercept_inside", [[formula.slope * formula.baseline.intercept]], np.float64)
        offset = graph.add("Sub", offset, inside, output=f"{output}_offset")
    scaled = graph.add("Mul", sums, "tree_slopes", output=f"{output}_scaled")
    return graph.add("Add", scaled, offset, output=output)


def add_assessment(
    graph: GraphBuilder,
    formula: CalibratedLogOdds,
    interval: IntervalTable | None,
    novelty: Novelty | None,
    sums: str,
    clipped: str,
) -> None:
    """Add the outputs `interval`, `own_log_odds` and `novelty`, as far as the model has them; `assess` requests them.

    Parameters
    ----------
    graph, formula, sums, clipped
        As for `add_log_odds`.
    interval
        Of the model; it also brings `own_log_odds`.
    novelty
        Of the model.
    """
    branch = graph.branch()
    columns: dict[str, int] = {}
    if interval:
        own = add_log_odds(branch, formula, sums, clipped, "intercept", "own")  # whatever the prior
        _add_interval(branch, formula, interval, own)
        own_clipped = branch.clip(own, formula.limit, "own_clipped")
        branch.add("Cast", own_clipped, output="own_log_odds_computed", to=branch.kind)
        columns |= {"interval": 2, "own_log_odds": 1}
    if novelty:
        _add_novelty(branch, novelty, clipped)
        columns["novelty"] = 1
    graph.add_optional_outputs("assess", branch, columns)


def _add_interval(branch: GraphBuilder, formula: CalibratedLogOdds, table: IntervalTable, own: str) -> None:
    """Add a look-up of the model's own log-odds; the prior moves both ends as it moves the log-odds."""
    edges = branch.constant("interval_edges", np.append(table.edges, np.inf)[None], np.float64)
    above = branch.add("Greater", own, edges, output="edges_below")
    below = branch.add("Cast", above, output="edges_below_as_numbers", to=TensorProto.INT64)
    step = branch.add("ReduceSum", below, branch.second_axis(), output="interval_step", keepdims=0)
    # the model's own log-odds lie inside; never by its difference to an end, which loses digits where it is large
    ends = []
    for name, values, bound in (("low", table.low, "Min"), ("high", table.high, "Max")):
        steps = branch.constant(f"interval_{name}", values[:, None], np.float64)
        at_step = branch.add("Gather", steps, step, output=f"{name}_at_step")
        ends.append(branch.add(bound, at_step, own, output=f"{name}_end"))
    log_odds = branch.add("Concat", *ends, output="interval_log_odds", axis=1)
    if formula.base_log_odds is not None:
        shift = branch.add("Sub", "offset", "intercept", output="prior_shift")
        log_odds = branch.add("Add", log_odds, shift, output="interval_fused")
    inside = branch.clip(log_odds, formula.limit, "interval_clipped")
    single = branch.add("Cast", inside, output="interval_as_output", to=branch.kind)
    branch.add("Sigmoid", single, output="interval_computed")


def _add_novelty(branch: GraphBuilder, novelty: Novelty, clipped: str) -> None:
    """Add the distance from usual inputs, over its limit."""
    modalities, n = len(novelty.optional), len(novelty.inputs)
    columns = branch.constant("novelty_columns", np.arange(n), np.int64)
    values = branch.add("Gather", clipped, columns, output="novelty_inputs", axis=1)
    missing = branch.add("Gather", "is_nan", columns, output="novelty_missing", axis=1)
    away = branch.add("Sub", values, branch.constant("novelty_mean", novelty.mean, np.float64), output="from_mean")
    away = branch.add("Where", missing, branch.zero(), away, output="from_mean_known")
    # every matrix at once, side by side: which of them holds is looked up afterwards
    side_by_side = branch.constant("novelty_whitening", np.concatenate([*novelty.whitening], axis=1), np.float64)
    white = branch.add("MatMul", away, side_by_side, output="white")
    shape = branch.constant("novelty_shape", [-1, 2**modalities, n], np.int64)
    shaped = branch.add("Reshape", white, shape, output="white_by_modalities")
    squared = branch.add("Mul", shaped, shaped, output="white_squared")
    last = branch.constant("last_axis", [2], np.int64)
    distance = branch.add("ReduceSum", squared, last, output="distance_squared", keepdims=0)
    if modalities:
        belongs = np.array([[column in modality for modality in novelty.optional] for column in range(n)])
        mask = branch.constant("novelty_modalities", belongs, np.float64)
        missing_double = branch.add("Cast", missing, output="novelty_missing_double", to=TensorProto.DOUBLE)
        count = branch.add("MatMul", missing_double, mask, output="missing_in_modality")
        present = branch.add("Less", count, branch.constant("half", 0.5, np.float64), output="modality_is_there")
        bits = branch.add("Cast", present, output="modality_bits", to=TensorProto.INT64)
        powers = branch.constant("modality_powers", [2 ** np.arange(modalities)], np.int64)
        weighed = branch.add("Mul", bits, powers, output="modality_numbers")
        index = branch.add("ReduceSum", weighed, branch.second_axis(), output="modalities_there", keepdims=1)
        distance = branch.add("GatherElements", distance, index, output="distance_squared_there", axis=1)
    root = branch.add("Sqrt", distance, output="distance")
    branch.add("Cast", root, output="novelty_computed", to=branch.kind)


def add_explanations(
    graph: GraphBuilder,
    forest: Forest,
    formula: CalibratedLogOdds,
    source: str,
    clipped: str,
    typical: NDArray[np.float64],
) -> None:
    """Add the output `contributions`; the input `explain` requests it.

    The graph sums in double. A row's contributions then add up to its log-odds as closely as float32 allows.

    Parameters
    ----------
    graph, formula, clipped
        As for `add_log_odds`.
    forest
        The trees.
    source
        Name of the features as the trees read them, (rows, features).
    typical
        (features,) the row from which the baseline's contributions count.
    """
    branch = graph.branch()
    contributions = _add_tree_contributions(branch, forest, source)
    slope = branch.constant("slope", formula.slope, np.float64)
    total = branch.add("Mul", contributions, slope, output="tree_contributions_calibrated")
    if formula.baseline:
        away = branch.add("Sub", clipped, branch.constant("typical", typical, np.float64), output="away_from_typical")
        weights = branch.constant("baseline_weights_row", formula.slope * formula.baseline.vector, np.float64)
        linear = branch.add("Mul", away, weights, output="baseline_contributions")
        total = branch.add("Add", total, linear, output="all_contributions")
    branch.add("Cast", total, output="contributions_computed", to=graph.kind)
    graph.add_optional_outputs("explain", branch, {"contributions": len(forest.feature_names)})


def _add_tree_contributions(branch: GraphBuilder, forest: Forest, source: str) -> str:
    """Add each feature's contribution on the way to the row's leaf, summed over the trees: (rows, features), double.

    The leaves give their numbers, and a table gives the contributions. A leaf with several targets would need no
    table. But onnxruntime 1.31 merges two leaves whose first weights agree.
    """
    numbers = branch.add_trees(forest, LeafOutputs.number(forest), source, "leaf_numbers")
    number = branch.add("Cast", numbers, output="leaf_numbers_whole", to=TensorProto.INT64)
    first = branch.constant("first_leaf", forest.first_leaf, np.int64)
    index = branch.add("Add", number, first, output="leaf_indices")
    table = branch.constant("contributions_by_leaf", leaf_contributions(forest), branch.dtype)
    by_tree = branch.add("Gather", table, index, output="contributions_by_tree")  # (rows, trees, features)
    double = branch.add("Cast", by_tree, output="contributions_by_tree_double", to=TensorProto.DOUBLE)
    return branch.add("ReduceSum", double, branch.second_axis(), output="tree_contributions", keepdims=0)
