"""Incidents of several sources, for tests of linkage and merging."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from pipeline import params
from pipeline.ingest.linking import linkage
from pipeline.storage import schemas

T0 = datetime(2020, 5, 5, tzinfo=UTC)

RULE = params.Linkage(least_probability=0.7, coverage=0.5, misdated=0.03, slack_days=1.0, reach=3.0, around=8.0)


def incident(source, number, *, days=0.0, north_m=0.0, precision="day", **more):
    row = {
        "incident_id": f"{source}:{number}",
        "source_id": source,
        "record_id": str(number),
        "occurred_at": T0 + timedelta(days=days),
        "occurred_precision": precision,
        "available_at": T0 + timedelta(days=days + 3),
        "superseded_at": None,
        "latitude_deg": 5.0 + north_m / 111_195.0,
        "longitude_deg": -74.0,
        "location_precision_m": 500.0,
        "event_type": "explosion",
        "hazard": "mine",
        "victim_count": None,
        "source_reliability": None,
        "information_credibility": None,
        "originator": source.upper(),
        "releasable_to": ["ALL"],
        "tlp": "CLEAR",
        "simulated": False,
        "raw_file": source,
        "raw_row": number,
    }
    return {**row, **more}


def pairs(*rows, **rule):
    table = linkage.link(table_of(*rows), replace(RULE, **rule))
    return list(zip(table["report_id"].to_pylist(), table["other_id"].to_pylist(), strict=True))


def table_of(*rows):
    return pa.Table.from_pylist(list(rows), schema=schemas.INCIDENTS.schema)
