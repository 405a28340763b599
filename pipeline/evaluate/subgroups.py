"""Rows of the test -> subgroups, each measured by itself: a mean over all rows hides where a model fails."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.model import cells as h3cells
from pipeline.model.catalogue import EXPOSURE, Feature
from pipeline.validation.metrics import Floats, Mask

LEAST_POSITIVES = 10
"""A subgroup with fewer rows that an event followed is not measured: its figures would mean nothing."""


def masks(
    table: pa.Table, outcome: Mask, in_test: Mask, fold: np.ndarray, features: Sequence[Feature]
) -> dict[str, Mask]:
    """Return the subgroups of the test rows by name, a mask of shape (test rows,) each.

    Parameters
    ----------
    table, outcome, in_test
        All rows; whether an event followed, and which rows are of the test, shape (n,).
    fold
        Of each test row, the day of the origin whose model predicts it.
    features
        What each of the table's features is.

    Returns
    -------
    dict
        ``cells_with_history``: an event is known at the cutoff. ``cells_ever_hit``: an event is ever known. Which
        cells these are is known only afterwards; they serve to compare with studies that do so.
        ``exposure_none``, ``exposure_low``, ``exposure_high``: nobody is known to have patrolled, searched or cleared;
        less than half of the others; more. ``region_north_east`` and so on: quarters of the theatre about its middle.
        ``origin_<day>``: the rows of one origin. ``partner_<source>``: rows without an event, and those whose events
        that partner has reported.
    """
    tested = table.filter(pa.array(in_test))
    (per_year,) = (f.name for f in features if (f.group, f.statistic, f.ring) == ("label", "per_year", 0))
    known = table[per_year].to_numpy() > 0
    cell = table["cell"].combine_chunks().dictionary_encode().indices.to_numpy()
    ever = np.zeros(cell.max() + 1, dtype=np.bool_)
    ever[cell[known | outcome]] = True
    return {
        "cells_with_history": known[in_test],
        "cells_ever_hit": ever[cell[in_test]],
        **_exposure(tested, features),
        **_regions(tested),
        **{f"origin_{day}": fold == day for day in np.unique(fold).tolist()},
        **_partners(tested, outcome[in_test]),
    }


def measurable(mask: Mask, outcome: Mask) -> bool:
    """Return whether a subgroup contains enough of both classes to be measured."""
    return int(outcome[mask].sum()) >= LEAST_POSITIVES and not bool(outcome[mask].all())


def _exposure(tested: pa.Table, features: Sequence[Feature]) -> dict[str, Mask]:
    """Return the rows by how much the cell was visited, by the features with the longest half-life."""
    in_cell = [feature for feature in features if feature.group in EXPOSURE and feature.ring == 0]
    half_lives = {feature.name: feature.half_life_days for feature in in_cell if feature.half_life_days is not None}
    if not half_lives:
        return {}
    longest = [name for name, half_life in half_lives.items() if half_life == max(half_lives.values())]
    # each kind has a unit of its own, hours or square metres: their ranks can be added
    visited = np.sum([_rank(tested[name].to_numpy()) for name in longest], axis=0)
    high = visited > np.median(visited[visited > 0]) if (visited > 0).any() else visited > 0
    return {
        "exposure_none": visited == 0,
        "exposure_low": (visited > 0) & ~high,
        "exposure_high": high,
    }


def _rank(values: Floats) -> Floats:
    """Return the share of values below each; nothing is 0."""
    ordered = np.sort(values)
    return np.where(values > 0, (np.searchsorted(ordered, values) + 1) / len(values), 0.0)


def _regions(tested: pa.Table) -> dict[str, Mask]:
    encoded = tested["cell"].combine_chunks().dictionary_encode()
    latitude, longitude = h3cells.centres(h3cells.from_names(encoded.dictionary.to_pylist()))
    row = encoded.indices.to_numpy()
    north, east = (latitude >= np.median(latitude))[row], (longitude >= np.median(longitude))[row]
    return {
        "region_north_east": north & east,
        "region_north_west": north & ~east,
        "region_south_east": ~north & east,
        "region_south_west": ~north & ~east,
    }


def _partners(tested: pa.Table, outcome: Mask) -> dict[str, Mask]:
    reporters = tested["reported_by"].combine_chunks().dictionary_encode()
    reported_by = [frozenset(text.split("+")) for text in reporters.dictionary.to_pylist()]
    row = np.append(reporters.indices.fill_null(len(reported_by)).to_numpy(), 0)[:-1]
    partners = {}
    for source in sorted(frozenset().union(*reported_by)):
        reported = np.array([source in sources for sources in reported_by] + [False])
        partners[f"partner_{source}"] = ~outcome | reported[row]
    return partners
