"""Held-out predictions of cells and cutoffs -> the points of maps: at the first, the middle and the last cutoff."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from pipeline.runtime.local_days import days_of


def points(held_out: pa.Table, *, horizon_days: int, zone: str) -> pa.Table:
    """Return a line for each cell and each of at most three cutoffs.

    Parameters
    ----------
    held_out
        As `train` wrote it: sorted by cutoff and cell.
    horizon_days
        Of the model.
    zone
        Of the cutoffs.

    Returns
    -------
    Table
        ``cutoff`` (the day that begins at it), ``horizon_days``, ``cell``, ``probability`` of at least
        one event within the horizon, ``event_followed`` (0 or 1).
    """
    cutoffs = pc.unique(held_out["cutoff"])
    places = sorted({0, (len(cutoffs) - 1) // 2, len(cutoffs) - 1})
    rows = held_out.filter(pc.is_in(held_out["cutoff"], value_set=cutoffs.take(pa.array(places))))
    return pa.table(
        {
            "cutoff": pa.array(days_of(rows["cutoff"].to_numpy(), zone).astype(str)),
            "horizon_days": np.full(rows.num_rows, horizon_days),
            "cell": rows["cell"],
            "probability": expit(rows["log_odds"].to_numpy()),
            "event_followed": rows["label"],
        }
    )
