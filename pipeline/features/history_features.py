"""Events as they became known -> sets of history features: what each column is, and its values at each cutoff.

Counts are stored as log1p. Trees see the same order; a logistic regression sees a scale on which risk is additive.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pipeline.features.events import EventVersions
from pipeline.features.feature_set import FeatureSet
from pipeline.features.history import days_since_last, decayed_counts, recent_counts, share_of_endless
from pipeline.model.catalogue import Feature
from pipeline.runtime.portable_math import log, log1p

Floats = npt.NDArray[np.float64]
YEAR_DAYS = 365.25


def decayed(
    events: EventVersions,
    cutoffs: Floats,
    *,
    since: float,
    half_lives_days: Sequence[float],
    rings: Sequence[sparse.csr_array[Any, Any]],
    source: str,
) -> FeatureSet:
    """Return log1p of the decayed sums of every channel, in each cell and in each ring of neighbours around it.

    The sums are what they would be if the history were endless: see `history.share_of_endless`.

    Parameters
    ----------
    events
        With their channels.
    cutoffs
        Days since 1970, ascending, shape (t,).
    since
        Start of the history, days since 1970.
    half_lives_days
        Of the sums.
    rings
        Who stands k steps from whom, shape (cells, cells); the first is the cell itself.
    source
        The table that the events come from.
    """
    unit = {channel: _unit(channel, source) for channel in events.channels}
    features = [
        Feature(
            f"{channel}_log1p_decay{half_life:g}d_ring{k}",
            f"log1p({unit[channel]})",
            f"{unit[channel]} of kind {channel} known at the cutoff, halved every {half_life:g} days, {_where(k)}",
            source,
            group=channel,
            statistic="decayed",
            half_life_days=half_life,
            ring=k,
        )
        for k in range(len(rings))
        for half_life in half_lives_days
        for channel in events.channels
    ]
    half_life = np.repeat(np.asarray(half_lives_days, dtype=np.float64), len(events.channels))
    counts = decayed_counts(events, cutoffs, half_lives_days=half_lives_days, cells=rings[0].shape[0])
    shares = share_of_endless(cutoffs, since=since, half_lives_days=half_life)

    def values() -> Iterator[Floats]:
        for count, share in zip(counts, shares, strict=True):
            endless = count / share
            yield _log1p(np.hstack([endless, *(ring @ endless for ring in rings[1:])]))

    return FeatureSet(features, values())


def theatre_level(endless: Floats, *, half_lives_days: Sequence[float]) -> FeatureSet:
    """Return log1p of the label's decayed count over the whole theatre: the same number in every cell.

    Parameters
    ----------
    endless
        The label's decayed counts as if the history were endless, shape (t, cells, half-lives).
    half_lives_days
        Of the counts.
    """
    features = [
        Feature(
            f"label_log1p_decay{half_life:g}d_theatre",
            "log1p(events)",
            f"label events known at the cutoff, halved every {half_life:g} days, summed over the theatre",
            "incidents",
            group="label",
            statistic="theatre",
            half_life_days=half_life,
        )
        for half_life in half_lives_days
    ]
    cells = endless.shape[1]
    return FeatureSet(features, (np.tile(log1p(count.sum(axis=0)), (cells, 1)) for count in endless))


def running_mean(
    counts: Floats, cutoffs: Floats, *, since: float, rings: Sequence[sparse.csr_array[Any, Any]]
) -> FeatureSet:
    """Return log1p of the label's events a year since the first data, in the cell and in each ring.

    Parameters
    ----------
    counts
        The label's events known at each cutoff, shape (t, cells).
    cutoffs
        Days since 1970, shape (t,).
    since
        Start of the history, days since 1970.
    rings
        As for `decayed`.
    """
    features = [
        Feature(
            f"label_log1p_per_year_ring{k}",
            "log1p(events/year)",
            f"label events known at the cutoff over the years since the first data, {_where(k)}",
            "incidents",
            group="label",
            statistic="per_year",
            ring=k,
        )
        for k in range(len(rings))
    ]
    # in the first year of data the mean is taken over a whole year, not over a few days
    years = np.maximum((cutoffs - since) / YEAR_DAYS, 1.0)
    values = (
        _log1p(np.column_stack([ring @ count for ring in rings]) / span)
        for count, span in zip(counts, years, strict=True)
    )
    return FeatureSet(features, values)


def density(
    endless: Floats, *, half_lives_days: Sequence[float], spreads: Mapping[float, sparse.csr_array[Any, Any]]
) -> FeatureSet:
    """Return log1p of the label's density in space and time: decayed counts, smoothed over the cells around.

    Parameters
    ----------
    endless, half_lives_days
        As for `theatre_level`.
    spreads
        Smoothing matrices, shape (cells, cells), by their standard deviation in cells.
    """
    features = [
        Feature(
            f"density_log1p_decay{half_life:g}d_spread{spread:g}",
            "log1p(events)",
            f"label events known at the cutoff, halved every {half_life:g} days, smoothed by a Gaussian whose standard "
            f"deviation is {spread:g} times the distance between neighbouring cells",
            "incidents",
            group="density",
            statistic="density",
            half_life_days=half_life,
            spread_cells=spread,
        )
        for spread in spreads
        for half_life in half_lives_days
    ]
    values = (log1p(np.hstack([matrix @ count for matrix in spreads.values()])) for count in endless)
    return FeatureSet(features, values)


def predicted_rate(rates: Iterable[Floats]) -> FeatureSet:
    """Return the logarithm of the rate that a self-exciting process predicts; the log-linear baseline reads it.

    Parameters
    ----------
    rates
        At each cutoff the events a day of each cell, shape (cells,), by a process that is fitted already.
    """
    feature = Feature(
        "hawkes_log_events_per_day",
        "log(events/d)",
        "label events a day that a self-exciting process predicts from what is known at the cutoff (Mohler et al., "
        "2011), fitted on the training period",
        "incidents",
        group="hawkes",
        statistic="rate",
        linear=True,
    )
    return FeatureSet([feature], (log(rate)[:, None] for rate in rates))


def recency(events: EventVersions, cutoffs: Floats, *, since: float, cells: int) -> FeatureSet:
    """Return log1p of the days since the last event of one channel in the cell.

    Parameters
    ----------
    events
        Of one channel.
    cutoffs
        Days since 1970, ascending, shape (t,).
    since
        Start of the history, days since 1970: it stands for the event where there is none.
    cells
        Number of cells.
    """
    (channel,) = events.channels
    feature = Feature(
        f"{channel}_log1p_days_since_last",
        "log1p(d)",
        f"days from the last event of kind {channel} known at the cutoff, or from the first data where there is none",
        "incidents",
        group=channel,
        statistic="days_since_last",
    )
    ages = days_since_last(events, cutoffs, since=since, cells=cells)
    return FeatureSet([feature], (log1p(np.maximum(age, 0.0))[:, None] for age in ages))


def last_period(label: EventVersions, cutoffs: Floats, *, starts: Floats, window_days: int, cells: int) -> FeatureSet:
    """Return log1p of the label's events in the last days before the cutoff, from the midnight at their start on.

    Parameters
    ----------
    label
        Events of the label.
    cutoffs, starts
        End and start of each window, days since 1970, ascending, shape (t,).
    window_days
        Calendar days from one to the other.
    cells
        Number of cells.
    """
    feature = Feature(
        f"label_log1p_last{window_days}d",
        "log1p(events)",
        f"label events of the last {window_days} days known at the cutoff, in the cell",
        "incidents",
        group="label",
        statistic="last_period",
        window_days=window_days,
    )
    counts = recent_counts(label, cutoffs, starts=starts, cells=cells)
    return FeatureSet([feature], (_log1p(count)[:, None] for count in counts))


def _log1p(counts: Floats) -> Floats:
    """Return log1p of counts, most of which may be 0: log1p(0) is exactly 0."""
    logarithms = np.zeros_like(counts)
    counted = counts != 0
    logarithms[counted] = log1p(counts[counted])
    return logarithms


def _where(ring: int) -> str:
    return f"summed over the cells {ring} steps away" if ring else "in the cell"


def _unit(channel: str, source: str) -> str:
    if source == "observations":
        return "amount"
    return {"victim": "persons hurt or killed", "trusted": "events, each as far as trusted"}.get(channel, "events")
