"""The Arrow schema of every table, declared once, with the unit and meaning of every column."""

from collections.abc import Iterable
from typing import Literal, get_args

import pyarrow as pa

UTC = pa.timestamp("us", tz="UTC")

OccurredPrecision = Literal["minute", "day", "week", "month", "year"]
EventType = Literal["explosion", "found_cleared", "seizure", "attack_other", "threat_report", "hoax_false"]
Hazard = Literal["ied", "mine", "uxo", "unknown"]
Outcome = Literal["hazard", "clutter", "unknown"]
Tlp = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]  # from least to most restrictive (FIRST, TLP 2.0)

OCCURRED_PRECISIONS: tuple[str, ...] = get_args(OccurredPrecision)
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
HAZARDS: tuple[str, ...] = get_args(Hazard)
OUTCOMES: tuple[str, ...] = get_args(Outcome)
TLP: tuple[str, ...] = get_args(Tlp)
RELIABILITIES = ("A", "B", "C", "D", "E")  # F, "cannot be judged", is missing
CREDIBILITIES = (1, 2, 3, 4, 5)  # 6, "cannot be judged", is missing

ROW_KEYS = {"area_risk": ("cutoff", "cell"), "sensor_threat": ("detection_id",)}
"""By kind of model: the columns that say which row of features or of predictions one is, in the order of the rows."""

VOCABULARIES: dict[str, tuple[str, ...]] = {
    "occurred_precision": OCCURRED_PRECISIONS,
    "event_type": EVENT_TYPES,
    "hazard": HAZARDS,
    "outcome": OUTCOMES,
    "source_reliability": RELIABILITIES,
    "information_credibility": tuple(str(c) for c in CREDIBILITIES),
    "tlp": TLP,
}


def _column(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning})


_IDENTITY = [
    _column("source_id", pa.string(), "the mapping in data/sources that the row came through"),
    _column("record_id", pa.string(), "the partner's own key of the record"),
]
_CLOCKS = [
    _column("available_at", UTC, "when this version of the row could first be known"),
    _column("superseded_at", UTC, "when a later version replaced it or it was withdrawn", nullable=True),
]
_POSITION = [
    _column("latitude_deg", pa.float64(), "WGS-84", nullable=True),
    _column("longitude_deg", pa.float64(), "WGS-84", nullable=True),
    _column("location_precision_m", pa.float32(), "radius that holds the true place", nullable=True),
]
_ADMIRALTY = [
    _column("source_reliability", pa.string(), "Admiralty code A-E; missing where F", nullable=True),
    _column("information_credibility", pa.int8(), "Admiralty code 1-5; missing where 6", nullable=True),
]
_MARKING = [
    _column("originator", pa.string(), "partner who owns the row"),
    _column("releasable_to", pa.list_(pa.field("item", pa.string(), nullable=False)), "partners, or ALL"),
    _column("tlp", pa.string(), "Traffic Light Protocol 2.0"),
    _column("simulated", pa.bool_(), "true where the row was made by a simulation"),
]
_PROVENANCE = [
    _column("raw_file", pa.string(), "file under data/raw/<dataset>"),
    _column("raw_row", pa.int64(), "1-based record number in that file, header not counted"),
]

INCIDENTS = pa.schema(
    [
        _column("incident_id", pa.string(), "one event; its versions share it"),
        *_IDENTITY,
        _column("occurred_at", UTC, "start of the period in which it happened"),
        _column("occurred_precision", pa.string(), "length of that period"),
        *_CLOCKS,
        *_POSITION,
        _column("event_type", pa.string(), "coarse type of event"),
        _column("hazard", pa.string(), "coarse category of hazard"),
        _column("victim_count", pa.float32(), "persons hurt or killed", nullable=True),
        *_ADMIRALTY,
        *_MARKING,
        *_PROVENANCE,
    ]
)

OBSERVATIONS = pa.schema(
    [
        _column("observation_id", pa.string(), "one observation; its versions share it"),
        *_IDENTITY,
        _column("kind", pa.string(), "what was observed: clearance, patrol, tip, activity, uav_sighting"),
        _column("value", pa.float64(), "how much of it", nullable=True),
        _column("unit", pa.string(), "unit of value"),
        _column("occurred_at", UTC, "start of the period in which it happened"),
        _column("occurred_precision", pa.string(), "length of that period"),
        *_CLOCKS,
        *_POSITION,
        *_ADMIRALTY,
        *_MARKING,
        *_PROVENANCE,
    ]
)

PLACES = pa.schema(
    [
        _column("place_id", pa.string(), "one point of the ground"),
        *_IDENTITY,
        _column("kind", pa.string(), "settlement, town, river, road, border, population, elevation"),
        _column("name", pa.string(), "as the publisher writes it", nullable=True),
        _column("value", pa.float64(), "how much of it", nullable=True),
        _column("unit", pa.string(), "unit of value, 1 where there is none"),
        *_CLOCKS,
        *_POSITION,
        *_MARKING,
        *_PROVENANCE,
    ]
)

MERGES = pa.schema(
    [
        _column("incident_id", pa.string(), "the event that both are reports of"),
        _column("report_id", pa.string(), "one report, the better dated: its source and its record"),
        _column("other_id", pa.string(), "the other report"),
        _column("decided_by", pa.string(), "linkage, or reviewer: data/sources/links"),
        _column("probability", pa.float64(), "that both are of one event; missing from a reviewer", nullable=True),
        _column("distance_m", pa.float64(), "between the two positions", nullable=True),
        _column("days_apart", pa.float64(), "between the two periods, 0 where they overlap", nullable=True),
        _column("expected_by_chance", pa.float64(), "other events there and then, were they not one", nullable=True),
        _column("reason", pa.string(), "the same for people, or the reviewer's own words"),
        _column("known_from", UTC, "when both reports were known: the event is one from then on"),
        *_MARKING,
    ]
)

QUARANTINE = pa.schema(
    [
        _column("source_id", pa.string(), "the mapping that refused the row"),
        *_MARKING,
        *_PROVENANCE,
        _column("column", pa.string(), "column of the file, or of the table, that was refused", nullable=True),
        _column("rule", pa.string(), "name of the rule it broke"),
        _column("message", pa.string(), "what, where, got, expected"),
        _column("value", pa.string(), "the value seen", nullable=True),
        _column("row", pa.string(), "the whole row as a JSON object, every value as the file had it"),
    ]
)

_DETECTIONS_HEAD = [
    _column("detection_id", pa.string(), "one alarm; its versions share it"),
    *_IDENTITY,
    _column("sensor_id", pa.string(), "the sensor that raised it"),
    _column("modality", pa.string(), "kind of sensor, or several joined by +"),
    _column("observed_at", UTC, "when it was raised"),
    *_CLOCKS,
    *_POSITION,
]
_DETECTIONS_TAIL = [
    _column("outcome", pa.string(), "what was found there"),
    _column("outcome_at", UTC, "when the outcome could first be known", nullable=True),
    _column("group_id", pa.string(), "lane, site or soil that cross-validation holds out whole"),
    *_MARKING,
    *_PROVENANCE,
]


def detections(measured: Iterable[str]) -> pa.Schema:
    """Return the schema of the detections table for the measured features of one dataset.

    Parameters
    ----------
    measured
        Names of the measured features, as `params.yaml` declares them under `modalities`: one nullable float32
        column each, missing where the sensor has none.
    """
    columns = [_column(name, pa.float32(), "measured by the sensor", nullable=True) for name in measured]
    return pa.schema([*_DETECTIONS_HEAD, *columns, *_DETECTIONS_TAIL])


def meaning(field: pa.Field) -> str:
    """Return what a column means, for documents and messages.

    Examples
    --------
    >>> meaning(INCIDENTS.field("victim_count"))
    'persons hurt or killed'
    """
    return str(field.metadata[b"meaning"].decode())
