"""Events and places -> families of features: what each column is, and its values at one cutoff after another.

Counts are stored as log1p: trees see the same order, and a logistic regression a scale on which risk is additive.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from pipeline.features import context, hawkes
from pipeline.features.events import Events
from pipeline.features.history import LN_2, days_since_last, decayed_counts, recent_counts
from pipeline.features.labels import LabelEvents
from pipeline.model.cells import Cells
from pipeline.runtime.portable_math import direction, expm1, log, log1p
from pipeline.storage import versions
from threat_scorer.scoring.features import Feature

Floats = npt.NDArray[np.float64]
YEAR_DAYS = 365.25
HAWKES = "hawkes_log_events_per_day"


@dataclass(frozen=True)
class Family:
    """Features that are computed together."""

    features: list[Feature]
    blocks: Iterator[Floats]
    """At each cutoff: float64, shape (cells, len(features))."""


def decayed(
    events: Events,
    cutoffs: Floats,
    *,
    since: float,
    half_lives_days: Sequence[float],
    rings: Sequence[sparse.csr_array[Any, Any]],
    source: str,
) -> Family:
    """Return log1p of the decayed sums of every channel, in each cell and in each ring of neighbours around it.

    The sums are what they would be if the history were endless: see `_endless`.
    """
    unit = {channel: _unit(channel, source) for channel in events.channels}
    described = [
        Feature(
            f"{channel}_log1p_decay{half_life:g}d_ring{k}",
            f"log1p({unit[channel]})",
            f"{unit[channel]} of kind {channel} known at the cutoff, halved every {half_life:g} days, "
            + (f"summed over the cells {k} steps away" if k else "in the cell"),
            source,
        )
        for k in range(len(rings))
        for half_life in half_lives_days
        for channel in events.channels
    ]
    states = _endless(events, cutoffs, since=since, half_lives_days=half_lives_days, cells=rings[0].shape[0])
    return Family(described, (log1p(np.hstack([ring @ state for ring in rings])) for state in states))


def theatre_level(
    label: Events, cutoffs: Floats, *, since: float, half_lives_days: Sequence[float], cells: int
) -> Family:
    """Return log1p of the label's decayed count over the whole theatre: the same number in every cell."""
    described = [
        Feature(
            f"label_log1p_decay{half_life:g}d_theatre",
            "log1p(events)",
            f"label events known at the cutoff, halved every {half_life:g} days, summed over the theatre",
            "incidents",
        )
        for half_life in half_lives_days
    ]
    states = _endless(label, cutoffs, since=since, half_lives_days=half_lives_days, cells=cells)
    return Family(described, (np.tile(log1p(state.sum(axis=0)), (cells, 1)) for state in states))


def running_mean(
    label: Events, cutoffs: Floats, *, since: float, rings: Sequence[sparse.csr_array[Any, Any]]
) -> Family:
    """Return log1p of the label's events a year since the first data, in the cell and in each ring."""
    described = [
        Feature(
            f"label_log1p_per_year_ring{k}",
            "log1p(events/year)",
            "label events known at the cutoff over the years since the first data, "
            + (f"summed over the cells {k} steps away" if k else "in the cell"),
            "incidents",
        )
        for k in range(len(rings))
    ]
    counts = decayed_counts(label, cutoffs, half_lives_days=[math.inf], cells=rings[0].shape[0])
    # in the first year of data the mean is taken over a whole year, not over a few days
    years = np.maximum((cutoffs - since) / YEAR_DAYS, 1.0)
    blocks = (
        log1p(np.hstack([ring @ count for ring in rings]) / span) for count, span in zip(counts, years, strict=True)
    )
    return Family(described, blocks)


def density(
    label: Events,
    cutoffs: Floats,
    *,
    since: float,
    half_lives_days: Sequence[float],
    spreads: dict[float, sparse.csr_array[Any, Any]],
) -> Family:
    """Return log1p of the label's density in space and time: decayed counts, smoothed over the cells around."""
    described = [
        Feature(
            f"density_log1p_decay{half_life:g}d_spread{spread:g}",
            "log1p(events)",
            f"label events known at the cutoff, halved every {half_life:g} days, smoothed by a Gaussian whose standard "
            f"deviation is {spread:g} times the distance between neighbouring cells",
            "incidents",
        )
        for spread in spreads
        for half_life in half_lives_days
    ]
    cells = next(iter(spreads.values())).shape[0]
    states = _endless(label, cutoffs, since=since, half_lives_days=half_lives_days, cells=cells)
    return Family(described, (log1p(np.hstack([matrix @ state for matrix in spreads.values()])) for state in states))


def self_exciting(
    label: Events,
    happened: LabelEvents,
    cutoffs: Floats,
    *,
    since: float,
    ends: Floats,
    until: float,
    half_lives_days: Sequence[float],
    spreads: dict[float, sparse.csr_array[Any, Any]],
) -> Family:
    """Return the logarithm of the rate that a Hawkes process foretells.

    Parameters
    ----------
    happened
        The events to be predicted: those between cutoffs until `until` are what is fitted.
    ends
        When the period of each cutoff ends, where the next one's begins.
    until
        End of the last period that the process is fitted on.
    """
    described = Feature(
        HAWKES,
        "log(events/d)",
        "label events a day that a self-exciting process foretells from what is known at the cutoff (Mohler et al., "
        "2011), fitted on the training period",
        "incidents",
    )

    def pasts() -> Iterator[Floats]:
        return hawkes.pasts(
            label, cutoffs, since=since, half_lives_days=half_lives_days, spreads=list(spreads.values())
        )

    process = hawkes.fit(pasts(), cutoffs, happened, ends=ends, until=until)
    return Family([described], (log(process.rate(past))[:, None] for past in pasts()))


def recency(events: Events, cutoffs: Floats, *, since: float, cells: int) -> Family:
    """Return log1p of the days since the last event of one channel in the cell."""
    (channel,) = events.channels
    described = Feature(
        f"{channel}_log1p_days_since_last",
        "log1p(d)",
        f"days from the last event of kind {channel} known at the cutoff, or from the first data where there is none",
        "incidents",
    )
    ages = days_since_last(events, cutoffs, since=since, cells=cells)
    return Family([described], (log1p(np.maximum(age, 0.0))[:, None] for age in ages))


def last_period(label: Events, cutoffs: Floats, *, starts: Floats, window_days: int, cells: int) -> Family:
    """Return log1p of the label's events in the last days before the cutoff, from the midnight at their start on."""
    described = Feature(
        last_period_name(window_days),
        "log1p(events)",
        f"label events of the last {window_days} days known at the cutoff, in the cell",
        "incidents",
    )
    counts = recent_counts(label, cutoffs, starts=starts, cells=cells)
    return Family([described], (log1p(count)[:, None] for count in counts))


def calendar(cutoffs: Floats, *, cells: int) -> Family:
    """Return the season of the cutoff as a point on the circle of the year."""
    described = [
        Feature(f"season_{name}", "1", f"{name} of the cutoff's part of the year", "calendar")
        for name in ("sine", "cosine")
    ]
    angles = 2 * np.pi * cutoffs / YEAR_DAYS  # days since 1970-01-01: the phase stays within a day of the calendar
    circle = zip(*direction(angles), strict=True)
    return Family(described, (np.tile([sine, cosine], (cells, 1)) for cosine, sine in circle))


def ground(places: pa.Table, cells: Cells, cutoffs: npt.NDArray[np.datetime64]) -> Family:
    """Return what `context` knows of each cell at each cutoff, computed anew only where the knowledge changes."""
    changed_at = np.array([moment.replace(tzinfo=None) for moment in versions.changes(places)], dtype="datetime64[us]")

    def blocks() -> Iterator[Floats]:
        version, block = -1, np.empty((len(cells), 0))
        for cutoff in cutoffs:
            known = int(np.searchsorted(changed_at, cutoff, side="right"))
            if known != version:
                moment = cutoff.astype(object).replace(tzinfo=UTC)
                version, block = known, context.columns(places, cells, moment)
            yield block

    return Family(context.describe(places), blocks())


def last_period_name(window_days: int) -> str:
    """Return the name of the feature that counts the label's events of the last days.

    Examples
    --------
    >>> last_period_name(28)
    'label_log1p_last28d'
    """
    return f"label_log1p_last{window_days}d"


def _endless(
    events: Events, cutoffs: Floats, *, since: float, half_lives_days: Sequence[float], cells: int
) -> Iterator[Floats]:
    """Yield decayed counts over the part of an endless steady history's that the history since `since` can hold.

    Without it a long half-life would fill up for years after the first data, and old cutoffs would not be like new.
    """
    half_life = np.repeat(np.asarray(half_lives_days, dtype=np.float64), len(events.channels))
    states = decayed_counts(events, cutoffs, half_lives_days=half_lives_days, cells=cells)
    held = -expm1(-LN_2 * np.maximum(cutoffs - since, 1.0)[:, None] / half_life)
    for share, state in zip(held, states, strict=True):
        yield state / share


def _unit(channel: str, source: str) -> str:
    if source == "observations":
        return "amount"
    return {"victim": "persons hurt or killed", "trusted": "events, each as far as trusted"}.get(channel, "events")
