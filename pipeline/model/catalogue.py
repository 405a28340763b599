"""What each feature is <-> the catalogue beside the rows: the one description that every later stage reads.

Nobody reads a meaning from a feature's name: group, statistic, half-life and ring stand here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from pipeline.storage import records
from pipeline.storage.marking import Marking
from pipeline.storage.records import RECORD

Statistic = Literal[
    "decayed",
    "theatre",
    "per_year",
    "last_period",
    "days_since_last",
    "density",
    "rate",
    "season",
    "distance",
    "count",
    "measured",
    "derived",
]
MEANINGS: dict[Statistic, str] = {
    "decayed": "what is known at the cutoff, halved in weight every so many days, in the cell or summed over a ring",
    "theatre": "the same, summed over the theatre",
    "per_year": "what is known at the cutoff over the years since the first data, in the cell or summed over a ring",
    "last_period": "what is known at the cutoff of the last days, in the cell",
    "days_since_last": "days since the last one known at the cutoff, or since the first data",
    "density": "what is known at the cutoff, halved in weight every so many days, smoothed over the cells around",
    "rate": "events a day that a self-exciting process predicts",
    "season": "the cutoff's part of the year as a point on a circle",
    "distance": "from the cell's centre to the nearest one",
    "count": "number in the cell",
    "measured": "measured at the alarm",
    "derived": "computed from what was measured at the alarm",
}
"""By statistic, for people."""
EXPOSURE = ("patrol", "search", "clearance")
"""Groups that count patrols, searches and clearance: the exposure of a cell, where people looked."""


@dataclass(frozen=True, config=RECORD)
class Feature:
    """One column of a model's matrix."""

    name: str
    unit: str
    meaning: str
    source: str
    """The table that it comes from, ``measured``, or where its formula comes from."""
    group: str
    """The thing that it describes: all statistics, half-lives and rings of one thing are one group."""
    statistic: Statistic
    half_life_days: float | None = None
    window_days: int | None = None
    ring: int | None = None
    """Steps from the cell to those that are counted. 0 is the cell itself; None: nothing is counted by cells."""
    spread_cells: float | None = None
    """Standard deviation of the kernel that smooths, in distances between neighbouring cells."""
    linear: bool = False
    """Whether the log-linear baseline reads it: then it is never missing."""
    trees: bool = True
    """Whether the trees read it."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Catalogue:
    """What the rows of one model contain."""

    features: tuple[Feature, ...]
    """In the model's order."""
    marking: Marking
    """What everything derived from the rows must carry."""
    rows: dict[str, int]
    """Counts of what went into the rows and what could not."""

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Read a catalogue.

        Raises
        ------
        StageError
            A key is unknown or missing, or a value is of another kind; the message names file and key.
        """
        return records.read(path, cls)

    def write(self, path: Path) -> None:
        """Write the catalogue as JSON."""
        records.write(self, path)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(feature.name for feature in self.features)

    @property
    def groups(self) -> tuple[str, ...]:
        """The features' groups."""
        return tuple(feature.group for feature in self.features)

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of the features that the log-linear baseline reads."""
        return tuple(feature.name for feature in self.features if feature.linear)

    @property
    def only_linear(self) -> tuple[str, ...]:
        """Names of those that the trees do not read."""
        return tuple(feature.name for feature in self.features if not feature.trees)


def by_group(groups: Sequence[str], added: npt.NDArray[Any]) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """Return the groups in the order of their first features, and the sums of what their features add.

    Parameters
    ----------
    groups
        Of the features, in their order, as the catalogue says.
    added
        Shape (n, features), log-odds.

    Returns
    -------
    names : tuple of str
    sums : ndarray, shape (n, groups), of the dtype of `added`

    Examples
    --------
    >>> by_group(["ied", "road", "ied"], np.array([[1.0, 2.0, 4.0]]))
    (('ied', 'road'), array([[5., 2.]]))
    """
    names = tuple(dict.fromkeys(groups))
    belongs = np.array([names.index(group) for group in groups])
    member = (belongs[:, None] == np.arange(len(names))).astype(added.dtype)
    return names, added @ member
