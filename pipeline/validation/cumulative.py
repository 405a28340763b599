"""Alarms in the order of their probability, counted by group -> rank metrics for many draws of groups at once.

A draw gives the number of times that each group counts. The draw's cumulative counts are those of the groups times
these numbers. They are whole numbers: the same in any order of the sums.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.validation.metrics import Floats, Mask

AT_ONCE = 64
"""Draws that are worked on together: their counts stay in the processor's cache."""


@dataclass(frozen=True)
class CumulativeByGroup:
    """Hazards and clutter of each group at or above each threshold, highest threshold first.

    Arrays of shape (thresholds + 1, groups): the first line is of a threshold that no alarm reaches.
    """

    hazards: Floats
    clutter: Floats

    @classmethod
    def of(cls, outcome: Mask, probability: Floats, group: npt.NDArray[np.int64]) -> "CumulativeByGroup":
        """Count.

        Parameters
        ----------
        outcome
            Whether each alarm is a hazard, shape (n,).
        probability
            Shape (n,); alarms of equal probability share a threshold.
        group
            Number of each alarm's group, shape (n,).
        """
        falling = np.argsort(-probability, kind="stable")
        threshold = np.append(0, np.cumsum(np.diff(probability[falling]) != 0))
        place = threshold * (group.max() + 1) + group[falling]
        shape = (int(threshold[-1]) + 1, int(group.max()) + 1)
        hazard = outcome[falling]
        counts = (np.bincount(place[mask], minlength=shape[0] * shape[1]).reshape(shape) for mask in (hazard, ~hazard))
        hazards, clutter = (np.vstack([np.zeros(shape[1]), np.cumsum(count, axis=0)]) for count in counts)
        return cls(hazards, clutter)

    def roc_auc(self, times: Floats) -> Floats:
        """Return the area under each draw's ROC curve, shape (draws,); `times` is of shape (draws, groups)."""
        # pairs of a hazard of one group and clutter of another that stand in the right order; a tie is half a pair
        middle = (self.clutter[1:] + self.clutter[:-1]) / 2
        wrong = np.diff(self.hazards, axis=0).T @ middle
        pairs = (times @ self.hazards[-1]) * (times @ self.clutter[-1])
        return np.asarray(1 - ((times @ wrong) * times).sum(axis=1) / pairs)

    def average_precision(self, times: Floats) -> Floats:
        """Return each draw's average precision, shape (draws,)."""
        steps = np.diff(self.hazards, axis=0)
        rising = steps.any(axis=1)  # elsewhere recall takes no step
        steps, hazards = steps[rising], self.hazards[1:][rising]
        alarms = hazards + self.clutter[1:][rising]
        areas = []
        for start in range(0, len(times), AT_ONCE):
            drawn = times[start : start + AT_ONCE].T
            caught = hazards @ drawn
            # where no alarm of the draw stands yet, recall takes no step either
            precision = caught / np.maximum(alarms @ drawn, 1.0)
            areas.append(((steps @ drawn) * precision).sum(axis=0) / caught[-1])
        return np.concatenate(areas)

    def detected(self, times: Floats, unit: Floats, most: float) -> Floats:
        """Return the largest share of hazards detected while clutter over `unit` is at most so much, shape (draws,).

        Parameters
        ----------
        times
            Shape (draws, groups).
        unit
            What the clutter that raises an alarm is divided by, of each draw, shape (draws,).
        most
            Of the quotient.
        """
        low, high = np.zeros(len(times), np.int64), np.full(len(times), len(self.clutter))
        # the counts never fall: each draw's last line that is allowed lies in [low, high)
        while (high - low > 1).any():
            middle = (low + high) // 2
            allowed = (self.clutter[middle] * times).sum(axis=1) / unit <= most
            low, high = np.where(allowed, middle, low), np.where(allowed, high, middle)
        return np.asarray((self.hazards[low] * times).sum(axis=1) / (times @ self.hazards[-1]))
