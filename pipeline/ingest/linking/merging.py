"""Linked reports -> versions of one event; at each time the best known one is open; none is dropped.

Linkage joins two reports from the time when both are known; before it, both are open, as they were then. From that
time only the better report is open. One more version of it takes what it leaves open from the other report, such as
the number of victims.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.linking.decisions import Decisions
from pipeline.ingest.linking.linkage import link, mark_of, may_share
from pipeline.params.datasets import Linkage
from pipeline.storage import schemas
from pipeline.storage.ingest_report import LinkageCounts
from pipeline.storage.marking import Marking, combined
from pipeline.storage.versions import latest

Row = dict[str, Any]

LEFT_OPEN = {"event_type": "attack_other", "hazard": "unknown", "victim_count": None}
"""Column that a report may leave open -> its value then."""

_FAR = float("inf")


@dataclass(frozen=True)
class Merged:
    """Incidents, of which linked ones share their `incident_id`, and the reasons."""

    incidents: pa.Table
    """Every row of the input, in its order, then the completed versions."""
    merges: pa.Table
    """Of `schemas.MERGES`."""
    counts: LinkageCounts


def merge(incidents: pa.Table, rule: Linkage, decisions: Decisions) -> Merged:
    """Link the incidents of several sources; close all but the best report of each event.

    Parameters
    ----------
    incidents
        Of the canonical table; `incident_id` differs between reports of different sources.
    rule
        The thresholds of linkage.
    decisions
        The pairs that reviewers joined or separated: they come before any score.
    """
    pairs: list[Row] = [
        _decided(*decision.reports, because=decision.because)
        for decision in sorted(decisions.always, key=lambda decision: decision.reports)
    ]
    scored = link(incidents, rule, apart=decisions.apart).to_pylist()
    pairs += [{**pair, "decided_by": "linkage"} for pair in sorted(scored, key=_by_probability)]
    reports = _open_versions(incidents, {name for pair in pairs for name in (pair["report_id"], pair["other_id"])})
    event, pairs = events(reports, pairs, apart=decisions.apart)
    for pair in pairs:
        left, right = reports[pair["report_id"]], reports[pair["other_id"]]
        pair["incident_id"] = event[pair["report_id"]]
        pair["known_from"] = max(left["available_at"], right["available_at"])
        pair.update(_joint_marking(left, right))
    completed = _close_worse_reports(reports, pairs)
    ids = [event.get(name, name) for name in incidents["incident_id"].to_pylist()]
    closed = [
        reports[name]["superseded_at"] if until is None and name in reports else until
        for name, until in zip(
            incidents["incident_id"].to_pylist(), incidents["superseded_at"].to_pylist(), strict=True
        )
    ]
    for row in completed:
        row["incident_id"] = event[row["incident_id"]]
    rows = [
        _with(_with(incidents, "incident_id", ids), "superseded_at", closed),
        pa.Table.from_pylist(completed, schema=incidents.schema),
    ]
    joined = {name for pair in pairs for name in (pair["report_id"], pair["other_id"])}
    counts = LinkageCounts(
        links=len(pairs),
        reports_joined=len(joined),
        events=len({event[name] for name in joined}),
        versions_completed=len(completed),
    )
    return Merged(pa.concat_tables(rows), pa.Table.from_pylist(pairs, schema=schemas.MERGES.schema), counts)


def _open_versions(incidents: pa.Table, names: set[str]) -> dict[str, Row]:
    """Return the open version of each named report, by name."""
    named = pc.is_in(incidents["incident_id"], value_set=pa.array(sorted(names), pa.string()))
    rows = latest(incidents.filter(named)).to_pylist()
    return {row["incident_id"]: row for row in rows}


def events(
    reports: dict[str, Row], pairs: Iterable[Row], *, apart: set[frozenset[str]]
) -> tuple[dict[str, str], list[Row]]:
    """Return for each report the name of its event, and the pairs that are linked.

    Pairs come in their order. A pair is left out if it would join two reports of one source through a third. Only
    a reviewer's pair may do that. A pair is left out too if a reviewer separated two of the reports. The same applies
    if the originator of one may not have the other.

    Parameters
    ----------
    reports
        The open version of each report, by name.
    pairs
        Candidates, the best first.
    apart
        Pairs that a reviewer separated.
    """
    group = {name: {name} for name in reports}
    marks = {name: mark_of(row) for name, row in reports.items()}
    linked = []
    for pair in pairs:
        first, second = group[pair["report_id"]], group[pair["other_id"]]
        if first is not second:
            between = [(a, b) for a in first for b in second]
            if any(frozenset(two) in apart or not may_share(marks[two[0]], marks[two[1]]) for two in between):
                continue
            one_source = any(reports[a]["source_id"] == reports[b]["source_id"] for a, b in between)
            if one_source and pair["decided_by"] != "reviewer":
                continue
            for name in first | second:
                group[name] = first | second
        linked.append(pair)
    return {name: min(names) for name, names in group.items()}, linked


def _close_worse_reports(reports: dict[str, Row], pairs: list[Row]) -> list[Row]:
    """Close each report when a better one of its event is known; return the completed versions."""
    best = dict(reports)
    together = {name: [name] for name in reports}
    completed = []
    for pair in sorted(pairs, key=lambda pair: (pair["known_from"], pair["report_id"], pair["other_id"])):
        at = pair["known_from"]
        better, worse = sorted((best[pair["report_id"]], best[pair["other_id"]]), key=_order)
        if better is worse:
            continue
        worse["superseded_at"] = at
        added = {name: worse[name] for name, left_open in LEFT_OPEN.items() if better[name] == left_open != worse[name]}
        best_version = better
        if added:
            better["superseded_at"] = at
            best_version = {
                **better,
                **added,
                **_joint_marking(better, worse),
                "available_at": at,
                "superseded_at": None,
            }
            completed.append(best_version)
        joined = together[pair["report_id"]] + together[pair["other_id"]]
        for name in joined:
            best[name], together[name] = best_version, joined
    # of two links known at the same time, the first may complete a version that the second replaces at once
    return sorted(
        (row for row in completed if row["superseded_at"] != row["available_at"]),
        key=lambda row: (row["incident_id"], row["available_at"]),
    )


def _order(report: Row) -> tuple[bool, float, int, str]:
    """Return the key that sorts reports of one event, the best first: by day, position radius, precision, name."""
    precision = schemas.OCCURRED_PRECISIONS.index(report["occurred_precision"])
    placed = report["location_precision_m"] if report["latitude_deg"] is not None else None
    return precision > 1, _FAR if placed is None else placed, precision, report["incident_id"]


def _by_probability(pair: Row) -> tuple[float, str, str]:
    return -pair["probability"], pair["report_id"], pair["other_id"]


def _decided(left: str, right: str, *, because: str) -> Row:
    unscored = dict.fromkeys(("probability", "distance_m", "days_apart", "expected_by_chance"))
    return {"report_id": left, "other_id": right, "decided_by": "reviewer", "reason": because, **unscored}


def _joint_marking(*rows: Row) -> Row:
    marking = combined(Marking.of(row) for row in rows)
    return {
        "originator": marking.originator,
        "releasable_to": list(marking.releasable_to),
        "tlp": marking.tlp,
        "simulated": any(row["simulated"] for row in rows),
    }


def _with(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    position = table.schema.get_field_index(name)
    field = table.schema.field(position)
    return table.set_column(position, field, pa.array(values, field.type))
