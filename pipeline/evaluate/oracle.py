"""Truth of a simulated theatre -> the probabilities that the process itself gives: the best possible model."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from pipeline.runtime.errors import StageError
from pipeline.validation.metrics import Floats


def of_cells(tested: pa.Table, truth: pa.Table, *, horizon_days: int) -> Floats:
    """Return the oracle's probability of an event in each row's cell and horizon, shape (n,).

    Parameters
    ----------
    tested
        Rows with ``cutoff`` and ``cell``.
    truth
        ``cell``, ``day``, ``probability_<horizon>d``. A cell that it does not name lies off the simulated ground:
        nothing happens there, and the probability is 0.

    Raises
    ------
    StageError
        The truth has no day for a cutoff.
    """
    cutoffs = pc.unique(tested["cutoff"])
    truth = truth.filter(pc.is_in(truth["day"], value_set=cutoffs))
    missing = len(cutoffs) - len(pc.unique(truth["day"]))
    if missing:
        raise StageError(
            f"evaluate: the truth has no day for {missing} of the {len(cutoffs)} test cutoffs; expected all"
        )
    numbered = pa.table({"cutoff": tested["cutoff"], "cell": tested["cell"], "row": np.arange(tested.num_rows)})
    joined = numbered.join(truth, keys=["cutoff", "cell"], right_keys=["day", "cell"]).sort_by("row")
    return np.asarray(pc.fill_null(joined[f"probability_{horizon_days}d"], 0.0).to_numpy(), dtype=np.float64)


def of_alarms(rows: pa.Table, truth: pa.Table) -> Floats:
    """Return the oracle's probability, from what was measured, that each alarm is a hazard, shape (n,).

    Parameters
    ----------
    rows
        Alarms with ``record_id``.
    truth
        ``record_id``, ``log_odds``.

    Raises
    ------
    StageError
        The truth does not know an alarm.
    """
    place = pc.index_in(rows["record_id"], value_set=truth["record_id"])
    if place.null_count:
        first = rows["record_id"].filter(pc.is_null(place))[0]
        raise StageError(f"evaluate: the truth does not know alarm {first} and {place.null_count - 1} more")
    return np.asarray(expit(truth["log_odds"].to_numpy()[place.to_numpy()]))
