"""What each feature adds -> what each group of features adds: half-lives and rings of one thing belong together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


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
