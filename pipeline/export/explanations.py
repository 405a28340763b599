"""`Forest` -> what each feature added on the way to each leaf.

Each split moves the expected log-odds from its node's to its child's; the move is credited to the feature that was
asked (Saabas, "Interpreting random forests", 2014; Palczewska et al., 2014). Over a row's ways through all trees the
moves add up, exactly, to the trees' log-odds less what is expected of them. TreeSHAP (Lundberg et al., 2020) shares
what features do together between them, where this credits the one asked last; this costs one pass.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.export.trees import Forest


def leaf_moves(forest: Forest) -> NDArray[np.float64]:
    """Return (leaves, features): log-odds that each feature adds on the way from the root to each leaf."""
    n_features = len(forest.feature_names)
    mean, leaf = _mean_log_odds(forest), forest.leaf_log_odds
    at_node = np.zeros((len(forest.feature), n_features))
    at_leaf = np.zeros((len(forest.leaf_value), n_features))
    for node, feature in enumerate(forest.feature):  # parents come before their children
        for child in (forest.left[node], forest.right[node]):
            here = at_leaf[~child] if child < 0 else at_node[child]
            here[:] = at_node[node]
            here[feature] += (leaf[~child] if child < 0 else mean[child]) - mean[node]
    return at_leaf


def expected_log_odds(forest: Forest) -> float:
    """Return the trees' mean log-odds over the rows that they were grown on."""
    mean, leaf = _mean_log_odds(forest), forest.leaf_log_odds
    return float(sum(leaf[~root] if root < 0 else mean[root] for root in forest.root))


def _mean_log_odds(forest: Forest) -> NDArray[np.float64]:
    """Return (nodes,) the mean log-odds of the training rows that pass each node."""
    leaf = forest.leaf_log_odds
    mean, rows = np.zeros(len(forest.feature)), np.zeros(len(forest.feature))
    for node in range(len(mean) - 1, -1, -1):
        for child in (forest.left[node], forest.right[node]):
            n, value = (forest.leaf_count[~child], leaf[~child]) if child < 0 else (rows[child], mean[child])
            rows[node] += n
            mean[node] += n * value
        mean[node] /= rows[node]
    return mean
