"""A theatre small enough to check by hand: tables of incidents, observations and places from a few short rows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import h3
import pyarrow as pa

from pipeline.features import area_risk
from pipeline.params import Admiralty, AreaFeatures, AreaTask, Bounds, Label, Theatre
from pipeline.storage import schemas

RESOLUTION = 5
CENTRE = h3.latlng_to_cell(4.6, -74.1, RESOLUTION)
THEATRE = Theatre(bounds=Bounds(0.0, 9.0, -80.0, -70.0), h3_resolution=RESOLUTION, within_km=30.0, zone="UTC")
LABEL = Label(event_types=["explosion"], hazards=["ied", "mine"], sources=[])
TASK = AreaTask(
    label=LABEL,
    horizon_days=28,
    cutoff_every_days=14,
    retrain_every_days=56,
    history_from=date(2020, 1, 1),
    train_from=date(2020, 7, 1),
    test_from=date(2021, 1, 1),
    test_until=date(2021, 7, 1),
)
ROLLING = replace(TASK, train_from=date(2020, 1, 1))
"""With a history to learn from before the first origins."""
FEATURES = AreaFeatures(
    half_lives_days=[14.0, 365.0], rings=1, spreads_cells=[1.0], hawkes_half_lives_days=[14.0, 56.0]
)
ADMIRALTY = Admiralty(
    reliability={"A": 0.9, "B": 0.8, "C": 0.6, "D": 0.4, "E": 0.2}, credibility={1: 0.9, 2: 0.8, 3: 0.6, 4: 0.4, 5: 0.2}
)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows of a schema; what they do not give is null, or plain where it must not be."""
    plain = {"releasable_to": ["ALL"], "tlp": "CLEAR", "simulated": False, "raw_row": 1, "superseded_at": None}
    full = [
        {field.name: row.get(field.name, plain.get(field.name, None if field.nullable else "x")) for field in schema}
        for row in rows
    ]
    return pa.Table.from_pylist(full, schema=schema)


def incident(name: str, occurred: str, *, cell: str = CENTRE, known: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an incident in a cell's centre, known a day after it occurred unless told."""
    latitude, longitude = h3.cell_to_latlng(cell)
    at = day(occurred)
    return {
        "incident_id": name,
        "occurred_at": at,
        "occurred_precision": "day",
        "available_at": day(known) if known else at + timedelta(days=1),
        "latitude_deg": latitude,
        "longitude_deg": longitude,
        "event_type": "explosion",
        "hazard": "mine",
        **more,
    }


def incidents(*rows: dict[str, Any]) -> pa.Table:
    return table(schemas.INCIDENTS.schema, rows)


def observations(*rows: dict[str, Any]) -> pa.Table:
    return table(schemas.OBSERVATIONS.schema, rows)


def settlement(
    cell: str = CENTRE, *, kind: str = "settlement", known: str = "2000-01-01", **more: Any
) -> dict[str, Any]:
    latitude, longitude = h3.cell_to_latlng(cell)
    return {
        "place_id": f"{kind} {cell}",
        "kind": kind,
        "available_at": day(known),
        "latitude_deg": latitude,
        "longitude_deg": longitude,
        **more,
    }


def places(*rows: dict[str, Any]) -> pa.Table:
    return table(schemas.PLACES.schema, rows or [settlement()])


def rows_of(
    happened: pa.Table, *, task: AreaTask = TASK, seen: pa.Table | None = None, ground: pa.Table | None = None
) -> area_risk.AreaRows:
    """Build the rows of the area model on the small theatre."""
    return area_risk.build(
        happened,
        observations() if seen is None else seen,
        places() if ground is None else ground,
        theatre=THEATRE,
        task=task,
        features=FEATURES,
        admiralty=ADMIRALTY,
    )


def value(rows: area_risk.AreaRows, column: str, cutoff: str, cell: str = CENTRE) -> Any:
    """Return one number of the rows."""
    at = [
        i
        for i, key in enumerate(zip(rows.table["cutoff"].to_pylist(), rows.table["cell"].to_pylist(), strict=True))
        if key == (day(cutoff), cell)
    ]
    return rows.table[column][at[0]].as_py()
