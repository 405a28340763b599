"""Incidents of several sources -> the pairs that are reports of one event, with a probability and a reason.

The probability weighs two densities (after Fellegi, Sunter 1969). One is that of the true partner at that distance in
space and time, by the stated precision of both. The other is that of all events of the other source there.
"""

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.rules.timestamps import DAY_US, US, period
from pipeline.params.datasets import Linkage
from pipeline.runtime import portable_math
from pipeline.storage.marking import ALL, audience, owners
from pipeline.storage.schemas import OCCURRED_PRECISIONS
from pipeline.storage.versions import latest

PAIRS = pa.schema(
    [
        pa.field("report_id", pa.string(), nullable=False),
        pa.field("other_id", pa.string(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("distance_m", pa.float64(), nullable=False),
        pa.field("days_apart", pa.float64(), nullable=False),
        pa.field("expected_by_chance", pa.float64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""Pairs of reports that are one event, the better dated first."""

EARTH_M = 6_371_008.8

Mark = tuple[str, frozenset[str]]
"""The originator of a report, and the partners that may have the report."""

_SAME_TYPE = {("explosion", "attack_other"): 0.1, ("found_cleared", "seizure"): 0.1}
"""Share of the reports of one event with these two types, which partners confuse; of other types it is 0."""

_SAME_HAZARD = {("ied", "mine"): 0.1, ("ied", "unknown"): 0.3, ("mine", "unknown"): 0.3, ("unknown", "uxo"): 0.3}
"""As `_SAME_TYPE`, for hazards: a mine may be improvised, and any hazard may be unknown."""


def link(incidents: pa.Table, rule: Linkage, *, apart: Collection[frozenset[str]] = ()) -> pa.Table:
    """Find the pairs of incidents, of two sources, that are one event.

    An incident has at most one partner in each other source; the most probable pairs come first. Two incidents are
    compared only if each marking allows the other's originator to have the report.

    Parameters
    ----------
    incidents
        Of the canonical table, before any are joined. Superseded versions, reports without a place and reports dated
        by year are left out.
    rule
        The thresholds.
    apart
        Pairs of `incident_id` that are never linked.

    Returns
    -------
    Table
        Of `PAIRS`, sorted by its first two columns.
    """
    incidents = latest(incidents)
    incidents = incidents.filter(pc.is_valid(incidents["latitude_deg"]))
    incidents = incidents.filter(pc.not_equal(incidents["occurred_precision"], "year"))
    parts = [PAIRS.empty_table()]
    names = sorted(pc.unique(incidents["source_id"]).to_pylist())
    reports = {name: _Reports(incidents.filter(pc.equal(incidents["source_id"], name))) for name in names}
    for first, second in combinations(names, 2):
        parts.append(_link_two(reports[first], reports[second], rule, apart))
    return pa.concat_tables(parts).sort_by([("report_id", "ascending"), ("other_id", "ascending")])


def may_share(left: Mark, right: Mark) -> bool:
    """Return whether the originator of each of two reports may have the other report."""
    return _may_see(left, right) and _may_see(right, left)


def mark_of(row: Mapping[str, Any]) -> Mark:
    """Return the originator of a row, and the partners that may have it."""
    return row["originator"], audience(row["originator"], tuple(row["releasable_to"]))


class _Reports:
    """The incidents of one source as arrays."""

    def __init__(self, table: pa.Table) -> None:
        self.ids = np.array(table["incident_id"].to_pylist(), object)
        radians = np.radians(np.column_stack([table["latitude_deg"], table["longitude_deg"]]))
        latitude, longitude = radians[:, 0], radians[:, 1]
        (across, up), (east, north) = portable_math.direction(latitude), portable_math.direction(longitude)
        self.xyz_m = EARTH_M * np.column_stack([across * east, across * north, up])
        # the stated radius holds the true place: it counts as two standard errors
        self.error_m = np.maximum(np.asarray(table["location_precision_m"].fill_null(1000.0)), 1.0) / 2.0
        start = np.asarray(table["occurred_at"].cast(pa.int64()))
        precision = np.asarray(pc.index_in(table["occurred_precision"], pa.array(OCCURRED_PRECISIONS))).astype(np.int8)
        self.start_days = start / DAY_US
        self.length_days = np.maximum(period(start, precision, "UTC")[1] - start, 60 * US) / DAY_US
        self.kind = np.array(table["event_type"].to_pylist(), object)
        self.hazard = np.array(table["hazard"].to_pylist(), object)
        self.words = self.kind + " of " + self.hazard
        self.markings = [mark_of(row) for row in table.select(["originator", "releasable_to"]).to_pylist()]

    def __len__(self) -> int:
        return len(self.ids)


def _link_two(first: _Reports, second: _Reports, rule: Linkage, apart: Collection[frozenset[str]]) -> pa.Table:
    left, right = _candidates(first, second, rule)
    gap = _gap_days(first, left, second, right)
    keep = (gap <= rule.slack_days) & _may_share_pairs(first, left, second, right)
    left, right, gap = left[keep], right[keep], gap[keep]
    distance = np.sqrt(_square_m2(first.xyz_m[left] - second.xyz_m[right]))
    error = portable_math.hypot(first.error_m[left], second.error_m[right])
    agreement = _agreement(first.kind[left], second.kind[right], _SAME_TYPE)
    agreement *= _agreement(first.hazard[left], second.hazard[right], _SAME_HAZARD)
    keep = (distance <= rule.reach * error) & (agreement > 0)
    left, right, gap, distance, error, agreement = (a[keep] for a in (left, right, gap, distance, error, agreement))
    window = np.maximum(first.length_days[left], second.length_days[right])
    density = _density(first, left, second, rule.reach * error, window + rule.slack_days, rule)
    in_space = portable_math.exp(-0.5 * np.square(distance / error)) / (2 * np.pi * np.square(error))
    in_time = np.where(gap < 0, (1 - rule.misdated) / window, rule.misdated / (2 * rule.slack_days))
    partner = agreement * in_space * in_time
    probability = rule.coverage * partner / (rule.coverage * partner + density)
    probability[[frozenset(ids) in apart for ids in zip(first.ids[left], second.ids[right], strict=True)]] = 0.0
    pairs = _one_to_one(left, right, probability, rule.least_probability)
    left, right, gap = left[pairs], right[pairs], np.maximum(gap[pairs], 0.0)
    by_chance = (density * np.pi * np.square(rule.reach * error) * (window + 2 * rule.slack_days))[pairs]
    better_dated = first.length_days[left] <= second.length_days[right]
    ids = first.ids[left], second.ids[right]
    details = zip(
        distance[pairs], 2 * error[pairs], gap, first.words[left], second.words[right], by_chance, strict=True
    )
    return pa.table(
        {
            "report_id": np.where(better_dated, ids[0], ids[1]),
            "other_id": np.where(better_dated, ids[1], ids[0]),
            "probability": probability[pairs],
            "distance_m": distance[pairs],
            "days_apart": gap,
            "expected_by_chance": by_chance,
            "reason": [_reason(*pair) for pair in details],
        },
        schema=PAIRS,
    )


def _candidates(first: _Reports, second: _Reports, rule: Linkage) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs that may be near enough in place and time, as indices, in the order of the first.

    For each report of the first, only those of the second within a few days are compared.
    """
    reach_m = rule.reach * float(portable_math.hypot(first.error_m.max(), second.error_m.max()))
    order = np.argsort(second.start_days, kind="stable")
    start_days, xyz_m = second.start_days[order], second.xyz_m[order]
    begin = np.searchsorted(start_days, first.start_days - second.length_days.max() - rule.slack_days, side="left")
    end = np.searchsorted(start_days, first.start_days + first.length_days + rule.slack_days, side="right")
    near = []
    for row, (a, b) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
        away_m = xyz_m[a:b] - first.xyz_m[row]
        near.append(np.sort(order[a:b][_square_m2(away_m) <= reach_m * reach_m]))
    left = np.repeat(np.arange(len(first)), [len(rows) for rows in near])
    return left, np.concatenate([*near, np.empty(0, np.int64)])


def _reason(distance_m: float, stated_m: float, days: float, first: str, second: str, by_chance: float) -> str:
    when = f"{days:.1f} days apart" if days else "at the same time"
    events = f"both {first}" if first == second else f"{first} and {second}"
    where = f"{distance_m:,.0f} m apart where {stated_m:,.0f} m are stated"
    return f"{where}, {when}, {events}; {by_chance:.2g} others expected there by chance"


def _gap_days(first: _Reports, left: np.ndarray, second: _Reports, right: np.ndarray) -> np.ndarray:
    """Return the days between the two periods, less than 0 where they overlap."""
    after = first.start_days[left] - (second.start_days[right] + second.length_days[right])
    before = second.start_days[right] - (first.start_days[left] + first.length_days[left])
    return np.asarray(np.maximum(after, before))


def _may_share_pairs(first: _Reports, left: np.ndarray, second: _Reports, right: np.ndarray) -> np.ndarray:
    """Return `may_share` of each pair of reports, bool, shape (n,)."""
    rows = {mark: i for i, mark in enumerate(dict.fromkeys(first.markings))}
    columns = {mark: i for i, mark in enumerate(dict.fromkeys(second.markings))}
    allowed = np.array([[may_share(a, b) for b in columns] for a in rows])
    row = np.array([rows[mark] for mark in first.markings])
    column = np.array([columns[mark] for mark in second.markings])
    return np.asarray(allowed[row[left], column[right]])


def _may_see(report: Mark, reader: Mark) -> bool:
    return ALL in report[1] or owners(reader[0]) <= report[1]


def _agreement(first: np.ndarray, second: np.ndarray, confused: dict[tuple[str, str], float]) -> np.ndarray:
    result: np.ndarray = (first == second).astype(float)
    for (a, b), weight in confused.items():
        result[((first == a) & (second == b)) | ((first == b) & (second == a))] = weight
    return result


def _square_m2(away_m: np.ndarray) -> np.ndarray:
    # in one order: `einsum` fuses products and sums where the processor can
    x, y, z = away_m.T
    return np.asarray(x * x + y * y + z * z)


def _density(
    first: _Reports,
    left: np.ndarray,
    second: _Reports,
    reach_m: np.ndarray,
    window: np.ndarray,
    rule: Linkage,
) -> np.ndarray:
    """Return how many events the second source has around each candidate, for each m2 and day, less the candidate."""
    order = np.argsort(second.start_days, kind="stable")
    start_days, xyz_m = second.start_days[order], second.xyz_m[order]
    middle = (first.start_days + first.length_days / 2)[left]
    wide_m, wide_days = reach_m * rule.around, window * rule.around
    begin = np.searchsorted(start_days, middle - wide_days, side="left")
    end = np.searchsorted(start_days, middle + wide_days, side="right")
    counts = np.empty(len(left))
    neighbours = zip(begin.tolist(), end.tolist(), left.tolist(), wide_m.tolist(), strict=True)
    for index, (a, b, row, wide) in enumerate(neighbours):
        away_m = xyz_m[a:b] - first.xyz_m[row]
        counts[index] = np.count_nonzero(_square_m2(away_m) <= wide * wide)
    return np.asarray(np.maximum(counts - 1, 0.5) / (np.pi * np.square(wide_m) * 2 * wide_days))


def _one_to_one(left: np.ndarray, right: np.ndarray, probability: np.ndarray, least: float) -> np.ndarray:
    """Return the indices of the pairs to link: the most probable first, each report once."""
    used_left: set[int] = set()
    used_right: set[int] = set()
    pairs = []
    for i in np.lexsort((right, left, -probability)).tolist():
        if probability[i] < least:
            break
        if left[i] not in used_left and right[i] not in used_right:
            used_left.add(left[i])
            used_right.add(right[i])
            pairs.append(i)
    return np.array(pairs, np.int64)
