"""Incidents of several sources -> the pairs of them that are reports of one event, with a probability and a reason.

The probability that two reports are one event weighs two densities (after Fellegi, Sunter 1969): how likely the true
partner lies that far off in space and time, given what both state of their precision, against how many events the other
source has around there in any case.
"""

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.rules.timestamps import DAY_US, US, period
from pipeline.params import Linkage
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
"""The originator of a report, and who may have the report."""

_SAME_TYPE = {("explosion", "attack_other"): 0.1, ("found_cleared", "seizure"): 0.1}
"""How often two reports of one event have two types, for the pairs that partners confuse; of others never."""

_SAME_HAZARD = {("ied", "mine"): 0.1, ("ied", "unknown"): 0.3, ("mine", "unknown"): 0.3, ("unknown", "uxo"): 0.3}
"""As `_SAME_TYPE`, for hazards: a mine may be improvised, and anything not known."""


def link(incidents: pa.Table, rule: Linkage, *, apart: Collection[frozenset[str]] = ()) -> pa.Table:
    """Find the pairs of incidents, of two sources, that are one event.

    Of each source, an incident has at most one partner in another: the pairs are taken in the order of their
    probability. Two incidents that either marking keeps from the other's originator are never compared.

    Parameters
    ----------
    incidents
        Of the canonical table, before any are joined. Versions that were superseded, and reports that have no place
        or are dated by the year only, are left out.
    apart
        Pairs of `incident_id` that are not to be linked, whatever their probability.

    Returns
    -------
    Of `PAIRS`, sorted by its two first columns.
    """
    incidents = latest(incidents)
    incidents = incidents.filter(pc.is_valid(incidents["latitude_deg"]))
    incidents = incidents.filter(pc.not_equal(incidents["occurred_precision"], "year"))
    parts = [PAIRS.empty_table()]
    names = sorted(pc.unique(incidents["source_id"]).to_pylist())
    reports = {name: _Reports(incidents.filter(pc.equal(incidents["source_id"], name))) for name in names}
    for one, other in combinations(names, 2):
        parts.append(_link_two(reports[one], reports[other], rule, apart))
    return pa.concat_tables(parts).sort_by([("report_id", "ascending"), ("other_id", "ascending")])


def may_share(one: Mark, other: Mark) -> bool:
    """Return whether each of two reports may be shown to the other's originator."""
    return _shown(one, other) and _shown(other, one)


def mark_of(row: Mapping[str, Any]) -> Mark:
    """Return the originator of a row and who may have it."""
    return row["originator"], audience(row["originator"], tuple(row["releasable_to"]))


class _Reports:
    """The incidents of one source as arrays."""

    def __init__(self, table: pa.Table) -> None:
        self.ids = np.array(table["incident_id"].to_pylist(), object)
        radians = np.radians(np.column_stack([table["latitude_deg"], table["longitude_deg"]]))
        latitude, longitude = radians[:, 0], radians[:, 1]
        (across, up), (east, north) = portable_math.direction(latitude), portable_math.direction(longitude)
        self.xyz_m = EARTH_M * np.column_stack([across * east, across * north, up])
        # the stated radius holds the true place: taken as two standard errors
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


def _link_two(one: _Reports, other: _Reports, rule: Linkage, apart: Collection[frozenset[str]]) -> pa.Table:
    left, right = _candidates(one, other, rule)
    gap = _gap_days(one, left, other, right)
    keep = (gap <= rule.slack_days) & _may_meet(one, left, other, right)
    left, right, gap = left[keep], right[keep], gap[keep]
    distance = np.sqrt(_square_m2(one.xyz_m[left] - other.xyz_m[right]))
    error = portable_math.hypot(one.error_m[left], other.error_m[right])
    alike = _agreement(one.kind[left], other.kind[right], _SAME_TYPE)
    alike *= _agreement(one.hazard[left], other.hazard[right], _SAME_HAZARD)
    keep = (distance <= rule.reach * error) & (alike > 0)
    left, right, gap, distance, error, alike = (a[keep] for a in (left, right, gap, distance, error, alike))
    window = np.maximum(one.length_days[left], other.length_days[right])
    density = _density(one, left, other, rule.reach * error, window + rule.slack_days, rule)
    in_space = portable_math.exp(-0.5 * np.square(distance / error)) / (2 * np.pi * np.square(error))
    in_time = np.where(gap < 0, (1 - rule.misdated) / window, rule.misdated / (2 * rule.slack_days))
    partner = alike * in_space * in_time
    probability = rule.coverage * partner / (rule.coverage * partner + density)
    probability[[frozenset(ids) in apart for ids in zip(one.ids[left], other.ids[right], strict=True)]] = 0.0
    pairs = _one_to_one(left, right, probability, rule.least_probability)
    left, right, gap = left[pairs], right[pairs], np.maximum(gap[pairs], 0.0)
    chance = (density * np.pi * np.square(rule.reach * error) * (window + 2 * rule.slack_days))[pairs]
    first = one.length_days[left] <= other.length_days[right]
    ids = one.ids[left], other.ids[right]
    told = zip(distance[pairs], 2 * error[pairs], gap, one.words[left], other.words[right], chance, strict=True)
    return pa.table(
        {
            "report_id": np.where(first, ids[0], ids[1]),
            "other_id": np.where(first, ids[1], ids[0]),
            "probability": probability[pairs],
            "distance_m": distance[pairs],
            "days_apart": gap,
            "expected_by_chance": chance,
            "reason": [_reason(*one_pair) for one_pair in told],
        },
        schema=PAIRS,
    )


def _candidates(one: _Reports, other: _Reports, rule: Linkage) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair that could lie near enough in place and time, as indices into both, in order of the first.

    The other's reports are walked in the order of time: of years of reports, those of a few days are compared.
    """
    reach_m = rule.reach * float(portable_math.hypot(one.error_m.max(), other.error_m.max()))
    order = np.argsort(other.start_days, kind="stable")
    start_days, xyz_m = other.start_days[order], other.xyz_m[order]
    first = np.searchsorted(start_days, one.start_days - other.length_days.max() - rule.slack_days, side="left")
    end = np.searchsorted(start_days, one.start_days + one.length_days + rule.slack_days, side="right")
    near = []
    for at, (a, b) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        away_m = xyz_m[a:b] - one.xyz_m[at]
        near.append(np.sort(order[a:b][_square_m2(away_m) <= reach_m * reach_m]))
    left = np.repeat(np.arange(len(one)), [len(found) for found in near])
    return left, np.concatenate([*near, np.empty(0, np.int64)])


def _reason(distance_m: float, stated_m: float, days: float, one: str, other: str, chance: float) -> str:
    when = f"{days:.1f} days apart" if days else "at the same time"
    what = f"both {one}" if one == other else f"{one} and {other}"
    where = f"{distance_m:,.0f} m apart where {stated_m:,.0f} m are stated"
    return f"{where}, {when}, {what}; {chance:.2g} others expected there by chance"


def _gap_days(one: _Reports, left: np.ndarray, other: _Reports, right: np.ndarray) -> np.ndarray:
    """Return the days between the two periods, less than 0 where they have some time in common."""
    after = one.start_days[left] - (other.start_days[right] + other.length_days[right])
    before = other.start_days[right] - (one.start_days[left] + one.length_days[left])
    return np.asarray(np.maximum(after, before))


def _may_meet(one: _Reports, left: np.ndarray, other: _Reports, right: np.ndarray) -> np.ndarray:
    """Return whether each report may be shown to the other's originator."""
    pairs = {marks: i for i, marks in enumerate(dict.fromkeys(one.markings))}
    others = {marks: i for i, marks in enumerate(dict.fromkeys(other.markings))}
    allowed = np.array([[may_share(a, b) for b in others] for a in pairs])
    rows = np.array([pairs[marks] for marks in one.markings])
    columns = np.array([others[marks] for marks in other.markings])
    return np.asarray(allowed[rows[left], columns[right]])


def _shown(report: Mark, to: Mark) -> bool:
    return ALL in report[1] or owners(to[0]) <= report[1]


def _agreement(one: np.ndarray, other: np.ndarray, confused: dict[tuple[str, str], float]) -> np.ndarray:
    result: np.ndarray = (one == other).astype(float)
    for (a, b), weight in confused.items():
        result[((one == a) & (other == b)) | ((one == b) & (other == a))] = weight
    return result


def _square_m2(away_m: np.ndarray) -> np.ndarray:
    # in one order: `einsum` fuses products and sums where the processor can
    x, y, z = away_m.T
    return np.asarray(x * x + y * y + z * z)


def _density(
    one: _Reports,
    left: np.ndarray,
    other: _Reports,
    reach_m: np.ndarray,
    window: np.ndarray,
    rule: Linkage,
) -> np.ndarray:
    """Return how many events the other source has around each candidate, per square metre and day, less the one."""
    order = np.argsort(other.start_days, kind="stable")
    start_days, xyz_m = other.start_days[order], other.xyz_m[order]
    middle = (one.start_days + one.length_days / 2)[left]
    wide_m, wide_days = reach_m * rule.around, window * rule.around
    first = np.searchsorted(start_days, middle - wide_days, side="left")
    end = np.searchsorted(start_days, middle + wide_days, side="right")
    counts = np.empty(len(left))
    around = zip(first.tolist(), end.tolist(), left.tolist(), wide_m.tolist(), strict=True)
    for at, (a, b, row, wide) in enumerate(around):
        away_m = xyz_m[a:b] - one.xyz_m[row]
        counts[at] = np.count_nonzero(_square_m2(away_m) <= wide * wide)
    return np.asarray(np.maximum(counts - 1, 0.5) / (np.pi * np.square(wide_m) * 2 * wide_days))


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
