"""Incidents of several sources -> which of them are reports of one event: a table that a reviewer can read and undo.

The probability that two reports are one event weighs two densities (after Fellegi, Sunter 1969): how likely the true
partner lies that far off in space and time, given what both state of their precision, against how many events the other
source has around there in any case.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.spatial import cKDTree

from pipeline.ingest.moments import DAY_US, US, period
from pipeline.marking import ALL
from pipeline.tables import OCCURRED_PRECISIONS

MERGES = pa.schema(
    [
        pa.field("incident_id", pa.string(), nullable=False),
        pa.field("other_id", pa.string(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("distance_m", pa.float64(), nullable=False),
        pa.field("days_apart", pa.float64(), nullable=False),
        pa.field("expected_by_chance", pa.float64(), nullable=False),
    ]
)
"""Pairs of incidents that are one event, the better dated first."""

EARTH_M = 6_371_008.8

_Mark = tuple[str, frozenset[str]]
"""An originator and those to whom it releases."""

_SAME_TYPE = {("explosion", "attack_other"): 0.1, ("found_cleared", "seizure"): 0.1}
"""How often two reports of one event have two types, for the pairs that partners confuse; of others never."""

_SAME_HAZARD = {("ied", "mine"): 0.1, ("ied", "unknown"): 0.3, ("mine", "unknown"): 0.3, ("unknown", "uxo"): 0.3}
"""As `_SAME_TYPE`, for hazards: a mine may be improvised, and anything not known."""


@dataclass(frozen=True)
class LinkRule:
    """When two reports are taken for one event."""

    least_probability: float = 0.7
    coverage: float = 0.5
    """Share of one source's events that the other is thought to report too, before anything is known."""
    misdated: float = 0.03
    """Share of reports whose date is wrong by more than they state, and then by up to `slack_days`."""
    slack_days: float = 1.0
    reach: float = 3.0
    """Candidates lie within this many standard errors of distance."""
    around: float = 8.0
    """The other source's events are counted within this many times the candidates' distance and time."""


def link(incidents: pa.Table, rule: LinkRule | None = None) -> pa.Table:
    """Find the pairs of incidents, of two sources, that are one event.

    Of each source, an incident has at most one partner in another: the pairs are taken in the order of their
    probability. Two incidents that either marking keeps from the other's originator are never compared.

    Parameters
    ----------
    incidents
        Of the canonical table. Versions that were superseded, and reports that have no place or are dated by the year
        only, are left out.

    Returns
    -------
    Of `MERGES`, sorted by its two first columns.
    """
    rule = rule or LinkRule()
    incidents = incidents.filter(pc.is_null(incidents["superseded_at"]))
    incidents = incidents.filter(pc.is_valid(incidents["latitude_deg"]))
    incidents = incidents.filter(pc.not_equal(incidents["occurred_precision"], "year"))
    parts = [pa.table(MERGES.empty_table())]
    names = sorted(pc.unique(incidents["source_id"]).to_pylist())
    reports = {name: _Reports(incidents.filter(pc.equal(incidents["source_id"], name))) for name in names}
    for one, other in combinations(names, 2):
        parts.append(_link_two(reports[one], reports[other], rule))
    return pa.concat_tables(parts).sort_by([("incident_id", "ascending"), ("other_id", "ascending")])


def events(incidents: pa.Table, merges: pa.Table) -> pa.Array:
    """Return for each incident the one that stands for its event: of those that merges join, the first by name.

    Merges are taken in the order of their probability. One that would bring together, through a third, two reports
    that may not be shown to each other's originators is left out.

    Parameters
    ----------
    incidents
        Of the canonical table.
    merges
        Of `MERGES`; a reviewer undoes a merge by taking its row out.
    """
    ids = incidents["incident_id"].to_pylist()
    group = {name: {name} for name in ids}
    marks = dict(zip(ids, _markings(incidents), strict=True))
    merges = merges.sort_by([("probability", "descending"), ("incident_id", "ascending"), ("other_id", "ascending")])
    for one, other in zip(merges["incident_id"].to_pylist(), merges["other_id"].to_pylist(), strict=True):
        first, second = group[one], group[other]
        if first is second or not all(_may_share(marks[a], marks[b]) for a in first for b in second):
            continue
        joined = first | second
        for name in joined:
            group[name] = joined
    return pa.array([min(group[name]) for name in ids], pa.string())


class _Reports:
    """The incidents of one source as arrays."""

    def __init__(self, table: pa.Table) -> None:
        self.ids = np.array(table["incident_id"].to_pylist(), object)
        radians = np.radians(np.column_stack([table["latitude_deg"], table["longitude_deg"]]))
        latitude, longitude = radians[:, 0], radians[:, 1]
        self.xyz_m = EARTH_M * np.column_stack(
            [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
        )
        # the stated radius holds the true place: taken as two standard errors
        self.error_m = np.maximum(np.asarray(table["location_precision_m"].fill_null(1000.0)), 1.0) / 2.0
        start = np.asarray(table["occurred_at"].cast(pa.int64()))
        precision = np.asarray(pc.index_in(table["occurred_precision"], pa.array(OCCURRED_PRECISIONS))).astype(np.int8)
        self.start_days = start / DAY_US
        self.length_days = np.maximum(period(start, precision, "UTC")[1] - start, 60 * US) / DAY_US
        self.kind = np.array(table["event_type"].to_pylist(), object)
        self.hazard = np.array(table["hazard"].to_pylist(), object)
        self.markings = _markings(table)

    def __len__(self) -> int:
        return len(self.ids)


def _link_two(one: _Reports, other: _Reports, rule: LinkRule) -> pa.Table:
    reach_m = rule.reach * float(np.hypot(one.error_m.max(), other.error_m.max()))
    tree = cKDTree(other.xyz_m)
    near = list(tree.query_ball_point(one.xyz_m, reach_m, return_sorted=True))
    left = np.repeat(np.arange(len(one)), [len(found) for found in near])
    right = np.concatenate([*map(np.array, near), np.empty(0)]).astype(np.int64)
    gap = _gap_days(one, left, other, right)
    keep = (gap <= rule.slack_days) & _may_meet(one, left, other, right)
    left, right, gap = left[keep], right[keep], gap[keep]
    distance = np.linalg.norm(one.xyz_m[left] - other.xyz_m[right], axis=1)
    error = np.hypot(one.error_m[left], other.error_m[right])
    alike = _agreement(one.kind[left], other.kind[right], _SAME_TYPE)
    alike *= _agreement(one.hazard[left], other.hazard[right], _SAME_HAZARD)
    keep = (distance <= rule.reach * error) & (alike > 0)
    left, right, gap, distance, error, alike = (a[keep] for a in (left, right, gap, distance, error, alike))
    window = np.maximum(one.length_days[left], other.length_days[right])
    density = _density(one, left, other, tree, rule.reach * error, window + rule.slack_days, rule)
    in_space = np.exp(-0.5 * (distance / error) ** 2) / (2 * np.pi * error**2)
    in_time = np.where(gap < 0, (1 - rule.misdated) / window, rule.misdated / (2 * rule.slack_days))
    partner = alike * in_space * in_time
    probability = rule.coverage * partner / (rule.coverage * partner + density)
    pairs = _one_to_one(left, right, probability, rule.least_probability)
    first = one.length_days[left[pairs]] <= other.length_days[right[pairs]]
    ids = one.ids[left[pairs]], other.ids[right[pairs]]
    chance = density * np.pi * (rule.reach * error) ** 2 * (window + 2 * rule.slack_days)
    return pa.table(
        {
            "incident_id": np.where(first, ids[0], ids[1]),
            "other_id": np.where(first, ids[1], ids[0]),
            "probability": probability[pairs],
            "distance_m": distance[pairs],
            "days_apart": np.maximum(gap[pairs], 0.0),
            "expected_by_chance": chance[pairs],
        },
        schema=MERGES,
    )


def _gap_days(one: _Reports, left: np.ndarray, other: _Reports, right: np.ndarray) -> np.ndarray:
    """Return the days between the two periods, less than 0 where they have some time in common."""
    after = one.start_days[left] - (other.start_days[right] + other.length_days[right])
    before = other.start_days[right] - (one.start_days[left] + one.length_days[left])
    return np.asarray(np.maximum(after, before))


def _may_meet(one: _Reports, left: np.ndarray, other: _Reports, right: np.ndarray) -> np.ndarray:
    """Return whether each report may be shown to the other's originator."""
    pairs = {marks: i for i, marks in enumerate(dict.fromkeys(one.markings))}
    others = {marks: i for i, marks in enumerate(dict.fromkeys(other.markings))}
    allowed = np.array([[_may_share(a, b) for b in others] for a in pairs])
    rows = np.array([pairs[marks] for marks in one.markings])
    columns = np.array([others[marks] for marks in other.markings])
    return np.asarray(allowed[rows[left], columns[right]])


def _markings(table: pa.Table) -> list[_Mark]:
    released = (frozenset(names) for names in table["releasable_to"].to_pylist())
    return list(zip(table["originator"].to_pylist(), released, strict=True))


def _may_share(one: _Mark, other: _Mark) -> bool:
    return _shown(one, other) and _shown(other, one)


def _shown(report: _Mark, to: _Mark) -> bool:
    return bool({ALL, to[0]} & report[1]) or report[0] == to[0]


def _agreement(one: np.ndarray, other: np.ndarray, confused: dict[tuple[str, str], float]) -> np.ndarray:
    result: np.ndarray = (one == other).astype(float)
    for (a, b), weight in confused.items():
        result[((one == a) & (other == b)) | ((one == b) & (other == a))] = weight
    return result


def _density(
    one: _Reports,
    left: np.ndarray,
    other: _Reports,
    tree: cKDTree,
    reach_m: np.ndarray,
    window: np.ndarray,
    rule: LinkRule,
) -> np.ndarray:
    """Return how many events the other source has around each candidate, per square metre and day, less the one."""
    result = np.empty(len(left))
    middle = one.start_days + one.length_days / 2
    cache: dict[tuple[int, float, float], float] = {}
    for i, (row, reach, days) in enumerate(zip(left.tolist(), reach_m.tolist(), window.tolist(), strict=True)):
        key = (row, reach, days)
        if key not in cache:
            wide_m, wide_days = reach * rule.around, days * rule.around
            around = tree.query_ball_point(one.xyz_m[row], wide_m)
            count = int((np.abs(other.start_days[around] - middle[row]) <= wide_days).sum())
            cache[key] = max(count - 1, 0.5) / (np.pi * wide_m**2 * 2 * wide_days)
        result[i] = cache[key]
    return result


def _one_to_one(left: np.ndarray, right: np.ndarray, probability: np.ndarray, least: float) -> np.ndarray:
    """Return the indices of the pairs that stand when the best is taken first and each report once."""
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    pairs = []
    for i in np.lexsort((right, left, -probability)).tolist():
        if probability[i] < least:
            break
        if left[i] not in taken_left and right[i] not in taken_right:
            taken_left.add(left[i])
            taken_right.add(right[i])
            pairs.append(i)
    return np.array(pairs, np.int64)
