"""The canonical tables, each declared once: columns with unit and meaning, words and ranges, id, clocks and order."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import pyarrow as pa

UTC = pa.timestamp("us", tz="UTC")

TableName = Literal["incidents", "detections", "observations", "places"]
OccurredPrecision = Literal["minute", "day", "week", "month", "year"]
EventType = Literal["explosion", "found_cleared", "seizure", "attack_other", "threat_report", "hoax_false"]
Hazard = Literal["ied", "mine", "uxo", "unknown"]
Outcome = Literal["hazard", "clutter", "unknown"]
Tlp = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]  # from least to most restrictive (FIRST, TLP 2.0)

OCCURRED_PRECISIONS: tuple[str, ...] = get_args(OccurredPrecision)
TLP: tuple[str, ...] = get_args(Tlp)
RELIABILITIES = ("A", "B", "C", "D", "E")  # F, "cannot be judged", is missing
CREDIBILITIES = (1, 2, 3, 4, 5)  # 6, "cannot be judged", is missing

ROW_KEYS = {"area_risk": ("cutoff", "cell"), "sensor_threat": ("detection_id",)}
"""By kind of model: the columns that identify a row of features or predictions, in sorting order."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False
    mapped: Literal["required", "optional"] | None = None
    """Whether a mapping must give the column under `fields`, may give it, or cannot."""
    words: tuple[str, ...] = ()
    """The only values of a text; empty where any will do."""
    unjudged: str | None = None
    """The partner's code for *cannot be judged*: the value is missing."""
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def field(self) -> pa.Field:
        """The column in an Arrow schema."""
        return pa.field(self.name, self.type, nullable=self.nullable, metadata={"meaning": self.meaning})


@dataclass(frozen=True)
class TableSpec:
    """One table: what ingest, the documents and the tests know of it."""

    name: str
    columns: tuple[Column, ...]
    id_column: str
    """Versions of one thing share its value."""
    occurred: str | None = None
    """The column of the time at which a row happened; None where a row does not happen."""
    sort_by: tuple[str, ...] = ()
    """Order of the rows; empty where they stand as the sources, by name, and their files give them."""

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, each field with its meaning."""
        return pa.schema([column.field for column in self.columns])

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that a mapping must give."""
        return tuple(column.name for column in self.columns if column.mapped == "required")

    @property
    def optional(self) -> tuple[str, ...]:
        """The columns that a mapping may give."""
        return tuple(column.name for column in self.columns if column.mapped == "optional")

    def column(self, name: str) -> Column:
        """Return a column by its name.

        Raises
        ------
        KeyError
            The table has no such column.
        """
        return {column.name: column for column in self.columns}[name]


_IDENTITY = (
    Column("source_id", pa.string(), "the mapping in data/sources that the row came through"),
    Column("record_id", pa.string(), "the partner's own key of the record"),
)
_OCCURRENCE = (
    Column("occurred_at", UTC, "start of the period in which it happened"),
    Column("occurred_precision", pa.string(), "length of that period", words=OCCURRED_PRECISIONS),
)
_CLOCKS = (
    Column("available_at", UTC, "when this version of the row could first be known"),
    Column("superseded_at", UTC, "when a later version replaced it or it was withdrawn", nullable=True),
)
_POSITION = (
    Column("latitude_deg", pa.float64(), "WGS-84", nullable=True, low=-90.0, high=90.0),
    Column("longitude_deg", pa.float64(), "WGS-84", nullable=True, low=-180.0, high=180.0),
    Column("location_precision_m", pa.float32(), "radius that holds the true place", nullable=True),
)
_ADMIRALTY = (
    Column(
        "source_reliability",
        pa.string(),
        "Admiralty code A-E; missing where F",
        nullable=True,
        mapped="optional",
        words=RELIABILITIES,
        unjudged="F",
    ),
    Column(
        "information_credibility",
        pa.int8(),
        "Admiralty code 1-5; missing where 6",
        nullable=True,
        mapped="optional",
        words=tuple(str(code) for code in CREDIBILITIES),
        unjudged="6",
        low=1.0,
        high=6.0,
    ),
)
_MARKING = (
    Column("originator", pa.string(), "partner who owns the row"),
    Column("releasable_to", pa.list_(pa.field("item", pa.string(), nullable=False)), "partners, or ALL"),
    Column("tlp", pa.string(), "Traffic Light Protocol 2.0", words=TLP),
    Column("simulated", pa.bool_(), "true where the row was made by a simulation"),
)
_PROVENANCE = (
    Column("raw_file", pa.string(), "file under data/raw/<dataset>"),
    Column("raw_row", pa.int64(), "1-based record number in that file, header not counted"),
)

INCIDENTS = TableSpec(
    "incidents",
    (
        Column("incident_id", pa.string(), "one event; its versions share it"),
        *_IDENTITY,
        *_OCCURRENCE,
        *_CLOCKS,
        *_POSITION,
        Column("event_type", pa.string(), "coarse type of event", mapped="required", words=get_args(EventType)),
        Column("hazard", pa.string(), "coarse category of hazard", mapped="required", words=get_args(Hazard)),
        Column(
            "victim_count",
            pa.float32(),
            "persons hurt or killed",
            nullable=True,
            mapped="optional",
            low=0.0,
            high=1e5,
        ),
        *_ADMIRALTY,
        *_MARKING,
        *_PROVENANCE,
    ),
    id_column="incident_id",
    occurred="occurred_at",
)

OBSERVATIONS = TableSpec(
    "observations",
    (
        Column("observation_id", pa.string(), "one observation; its versions share it"),
        *_IDENTITY,
        Column(
            "kind",
            pa.string(),
            "what was observed: clearance, patrol, tip, activity, uav_sighting",
            mapped="required",
        ),
        Column("value", pa.float64(), "how much of it", nullable=True, mapped="required"),
        Column("unit", pa.string(), "unit of value", mapped="required"),
        *_OCCURRENCE,
        *_CLOCKS,
        *_POSITION,
        *_ADMIRALTY,
        *_MARKING,
        *_PROVENANCE,
    ),
    id_column="observation_id",
    occurred="occurred_at",
)

PLACES = TableSpec(
    "places",
    (
        Column("place_id", pa.string(), "one point of the ground"),
        *_IDENTITY,
        Column("kind", pa.string(), "settlement, town, river, road, border, population, elevation", mapped="required"),
        Column("name", pa.string(), "as the publisher writes it", nullable=True, mapped="optional"),
        Column("value", pa.float64(), "how much of it", nullable=True, mapped="optional"),
        Column("unit", pa.string(), "unit of value, 1 where there is none", mapped="optional"),
        *_CLOCKS,
        *_POSITION,
        *_MARKING,
        *_PROVENANCE,
    ),
    id_column="place_id",
)

_DETECTIONS = TableSpec(
    "detections",
    (
        Column("detection_id", pa.string(), "one alarm; its versions share it"),
        *_IDENTITY,
        Column("sensor_id", pa.string(), "the sensor that raised it", mapped="required"),
        Column("modality", pa.string(), "kind of sensor, or several joined by +", mapped="required"),
        Column("observed_at", UTC, "when it was raised"),
        *_CLOCKS,
        *_POSITION,
        Column("outcome", pa.string(), "what was found there", mapped="required", words=get_args(Outcome)),
        Column("outcome_at", UTC, "when the outcome could first be known", nullable=True),
        Column("group_id", pa.string(), "lane, site or soil that cross-validation holds out whole", mapped="required"),
        *_MARKING,
        *_PROVENANCE,
    ),
    id_column="detection_id",
    occurred="observed_at",
)

MERGES = TableSpec(
    "merges",
    (
        Column("incident_id", pa.string(), "the event that both are reports of"),
        Column("report_id", pa.string(), "one report, the better dated: its source and its record"),
        Column("other_id", pa.string(), "the other report"),
        Column("decided_by", pa.string(), "linkage, or reviewer: data/sources/links"),
        Column("probability", pa.float64(), "that both are of one event; missing from a reviewer", nullable=True),
        Column("distance_m", pa.float64(), "between the two positions", nullable=True),
        Column("days_apart", pa.float64(), "between the two periods, 0 where they overlap", nullable=True),
        Column("expected_by_chance", pa.float64(), "other events there and then, were they not one", nullable=True),
        Column("reason", pa.string(), "the same for people, or the reviewer's own words"),
        Column("known_from", UTC, "when both reports were known: the event is one from then on"),
        *_MARKING,
    ),
    id_column="incident_id",
    sort_by=("incident_id", "report_id", "other_id"),
)

QUARANTINE = pa.schema(
    [
        column.field
        for column in (
            Column("source_id", pa.string(), "the mapping that refused the row"),
            *_MARKING,
            *_PROVENANCE,
            Column("column", pa.string(), "column of the file, or of the table, that was refused", nullable=True),
            Column("rule", pa.string(), "name of the rule it broke"),
            Column("message", pa.string(), "what, where, got, expected"),
            Column("value", pa.string(), "the value seen", nullable=True),
            Column("row", pa.string(), "the whole row as a JSON object, every value as the file had it"),
        )
    ]
)
"""The schema of the refused rows, which lie apart from the tables."""


def detections(measured: Iterable[str]) -> TableSpec:
    """Return the detections table with the measured features of one dataset.

    Parameters
    ----------
    measured
        Names of the measured features, as `params.yaml` declares them under `modalities`: one nullable float32
        column each, missing where the sensor has none.
    """
    columns = [
        Column(name, pa.float32(), "measured by the sensor", nullable=True, mapped="optional") for name in measured
    ]
    before = [column.name for column in _DETECTIONS.columns].index("outcome")
    return replace(_DETECTIONS, columns=(*_DETECTIONS.columns[:before], *columns, *_DETECTIONS.columns[before:]))


def tables(measured: Iterable[str] = ()) -> dict[TableName, TableSpec]:
    """Return the tables that partners' files are mapped onto, by name; `measured` as for `detections`."""
    return {
        "incidents": INCIDENTS,
        "observations": OBSERVATIONS,
        "detections": detections(measured),
        "places": PLACES,
    }
