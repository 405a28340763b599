"""`Forest` -> the log-odds that each feature contributes on the way to each leaf.

Each split moves the expected log-odds from its node's to its child's. The feature of the split is credited with that
difference (Saabas, "Interpreting random forests", 2014; Palczewska et al., 2014). Over a row's way through all trees
the contributions add up, exactly, to the trees' log-odds less their expected value. TreeSHAP (Lundberg et al., 2020)
shares a joint effect among its features. This credits the last one on the way, but costs one pass only.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.export.trees import Forest


def leaf_contributions(forest: Forest) -> NDArray[np.float64]:
    """Return (leaves, features): log-odds that each feature contributes on the way from the root to each leaf."""
    n_features = len(forest.feature_names)
    mean, leaf = _mean_log_odds(forest), forest.leaf_log_odds
    at_node = np.zeros((len(forest.feature), n_features))
    at_leaf = np.zeros((len(forest.leaf_value), n_features))
    for node, feature in enumerate(forest.feature):  # parents come before their children
        for child in (forest.left[node], forest.right[node]):
            of_child = at_leaf[~child] if child < 0 else at_node[child]
            of_child[:] = at_node[node]
            of_child[feature] += (leaf[~child] if child < 0 else mean[child]) - mean[node]
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
