"""A booster, its trees and its formula -> the leaves and the log-odds that an exported model must give."""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from pipeline.export.gate.rows import Rows
from pipeline.export.trees import Forest
from pipeline.model.intervals import IntervalTable
from pipeline.model.log_odds import CalibratedLogOdds
from pipeline.model.novelty import Novelty


@dataclass(frozen=True)
class Reference:
    """The booster itself, and in double the formula around it, with interval and novelty where the model has them."""

    booster: lgb.Booster
    forest: Forest
    formula: CalibratedLogOdds
    interval: IntervalTable | None = None
    novelty: Novelty | None = None

    def leaves(self, rows: Rows) -> NDArray[np.int32]:
        """Return (rows, trees) the leaf that LightGBM sends each row to."""
        leaves = np.asarray(self.booster.predict(rows, pred_leaf=True, num_threads=1), np.int32)
        return leaves.reshape(len(rows), self.forest.n_trees)

    def raw_score(self, rows: Rows) -> NDArray[np.float64]:
        """Return (rows,) what LightGBM gives for the trees."""
        return np.asarray(self.booster.predict(rows, raw_score=True, num_threads=1), np.float64)

    def raw_score_of_leaves(self, leaves: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return (rows,) the same to the last bit, of (rows, trees) leaves: no tree is walked again.

        The leaves' values are added up as LightGBM does it: tree after tree, from the first.
        """
        index = leaves.T.astype(np.intp, order="C")
        index += self.forest.first_leaf[:, None]
        total = np.zeros(len(leaves))
        for values in self.forest.leaf_value.take(index, mode="clip"):  # no index is outside: it need not look
            total += values
        return total

    def own_log_odds(self, rows: Rows, raw_score: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return (rows,) the model's own log-odds in double: without prior or limit.

        Parameters
        ----------
        rows
            (rows, features).
        raw_score
            (rows,) of the rows, where it is known already.
        """
        raw = self.raw_score(rows) if raw_score is None else raw_score
        trees = self.forest.sigmoid * (raw / self.forest.n_trees if self.forest.average else raw)
        return self.formula.own_log_odds(trees, rows)

    def log_odds(self, rows: Rows) -> NDArray[np.float64]:
        """Return (rows,) the log-odds in double."""
        return self.formula.log_odds(self.own_log_odds(rows))
