"""A mapping and a file written by a test -> what ingest makes of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from pipeline.ingest.mapping.mapping import read_mapping
from pipeline.ingest.rules.border import Border
from pipeline.ingest.rules.gazetteer import Gazetteer
from pipeline.ingest.rules.source import Source
from pipeline.ingest.staging import Staged, stage
from pipeline.params import Bounds, Measured
from pipeline.storage import store

BOUNDS = Bounds(south_deg=-4.5, north_deg=13.5, west_deg=-82.0, east_deg=-66.5)
VOLTAGE = Measured(unit="1", low=0.0, high=1.0, required=True, meaning="")
DEPTH = Measured(unit="m", low=0.0, high=1.0, required=False, meaning="")

INCIDENTS: dict[str, Any] = {
    "file": "in.csv",
    "about": "made by a test",
    "table": "incidents",
    "format": {"kind": "csv"},
    "key": ["id"],
    "fields": {
        "event_type": {"column": "type", "values": {"blast": "explosion", "find": "found_cleared"}},
        "hazard": {"constant": "mine"},
        "victim_count": {"column": "victims"},
    },
    "occurred_at": {"column": "date", "formats": ["%Y-%m-%d"], "precision": "day"},
    "available_at": {"delay_days": 1},
    "position": {"latitude": "lat", "longitude": "lon", "precision_m": 1000},
    "marking": {"originator": "X", "releasable_to": ["ALL"], "tlp": "CLEAR"},
}
HEADER = "id,type,victims,date,lat,lon\n"
GOOD = "1,blast,2,2020-01-31,4.5,-74.1\n"


@dataclass
class Case:
    """One partner's file, ingested in a folder of the test's own."""

    folder: Path
    mapping: dict[str, Any]
    gazetteers: dict[str, Gazetteer] = field(default_factory=dict)
    border: Border | None = None

    def source(self) -> Source:
        path = self.folder / "case.yaml"
        path.write_text(yaml.safe_dump(self.mapping, allow_unicode=True), encoding="utf-8")
        measured = {"voltage": VOLTAGE, "depth": DEPTH}
        return Source("case", read_mapping(path, measured=measured), BOUNDS, measured, self.gazetteers, self.border)

    def ingest(self, content: bytes | str) -> Staged:
        raw = self.folder / "raw"
        raw.mkdir(exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (raw / self.mapping["file"]).write_bytes(data)
        staged = Staged(self.folder / "staging")
        stage(self.source(), staged, raw=raw)
        return staged


def changed(mapping: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a mapping with some of its keys replaced, or left out where None."""
    return {key: value for key, value in {**mapping, **changes}.items() if value is not None}


def rows(staged: Staged) -> list[dict[str, Any]]:
    """Return the rows that stand."""
    return list(store.read_table(staged.rows).to_pylist())


def rejected(staged: Staged) -> list[dict[str, Any]]:
    """Return the rejected rows."""
    return list(store.read_table(staged.quarantine).to_pylist())


def balance(staged: Staged) -> tuple[int, int]:
    """Return the records that came in, and those whose fate is known."""
    counts = staged.counts
    return counts.rows_in, counts.kept + counts.merged + counts.quarantined


def table_of(staged: Staged) -> pa.Table:
    """Return the rows that stand as a table."""
    return store.read_table(staged.rows)
