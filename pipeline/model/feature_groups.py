"""What each feature adds -> what each family of features adds: half-lives and rings of one thing belong together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def family(feature: str) -> str:
    """Return what a feature's name speaks of, without its half-life and ring.

    Examples
    --------
    >>> family("patrol_log1p_decay365d_ring1"), family("road_distance_m"), family("hawkes_log_events_per_day")
    ('patrol', 'road_distance_m', 'hawkes')
    """
    return feature.split("_log")[0]


def by_family(features: Sequence[str], added: npt.NDArray[Any]) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """Return the families in the order of their first features, and the sums of what their features add.

    Parameters
    ----------
    added
        Shape (n, features), log-odds.

    Returns
    -------
    families : tuple of str
    sums : ndarray, shape (n, families), of the dtype of `added`
    """
    families = tuple(dict.fromkeys(family(name) for name in features))
    belongs = np.array([families.index(family(name)) for name in features])
    member = (belongs[:, None] == np.arange(len(families))).astype(added.dtype)
    return families, added @ member
