"""What is to be said in SAPIENT (BSI Flex 335 v2.0) -> its protobuf messages, with all that the standard demands."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sapient_msg.bsi_flex_335_v2_0 import (
    alert_pb2,
    associated_detection_pb2,
    location_pb2,
    registration_pb2,
    status_report_pb2,
    task_ack_pb2,
)
from sapient_msg.bsi_flex_335_v2_0.sapient_message_pb2 import SapientMessage

from threat_scorer.run.clock import parse_iso

VERSION = "BSI Flex 335 v2.0"
MODE = "score"
HAZARD = "explosive hazard"
SYSTEMS = {
    "ok": status_report_pb2.StatusReport.SYSTEM_OK,
    "warning": status_report_pb2.StatusReport.SYSTEM_WARNING,
    "failure": status_report_pb2.StatusReport.SYSTEM_ERROR,
    "goodbye": status_report_pb2.StatusReport.SYSTEM_GOODBYE,
}
OBJECT_INFO = ("likelihood", "model", "model_version", "bundle", "simulated", "marking", "key")
"""Of each detection, as `object_info`."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_Location = location_pb2.Location
_Registration = registration_pb2.Registration


def ulid(at: float, of: str) -> str:
    """Return an identifier that is the same for the same time and text: a record that is sent twice is one object.

    Parameters
    ----------
    at
        Seconds since 1970, its first 48 bits.
    of
        What it names; the other 80 bits are its digest.

    Examples
    --------
    >>> ulid(1.5, "a"), ulid(1.5, "a") == ulid(1.5, "b")
    ('00000001EWXCFWJYDX6KKHDRS5', False)
    """
    random = int.from_bytes(hashlib.blake2b(of.encode(), digest_size=10).digest())
    number = (max(int(1000 * at), 0) % 2**48) << 80 | random
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def envelope(node_id: str, at: float, *, additional: str = "") -> SapientMessage:
    """Return a message of ours, empty."""
    message = SapientMessage(node_id=node_id)
    message.timestamp.FromNanoseconds(int(at * 1e9))
    if additional:
        message.additional_information = additional
    return message


def register(message: SapientMessage, *, device: str, bundle: str, status_every_s: float) -> None:
    """Say who we are: what we detect, how often we tell of ourselves, and that we take no tasks but this one mode."""
    said = message.registration
    said.icd_version = VERSION
    said.name = said.short_name = device
    said.node_definition.add(node_type=_Registration.NODE_TYPE_PROXIMITY_SENSOR, node_sub_type=["buried hazard alarms"])
    said.capabilities.add(category="Sensor", type="Probability that an alarm is a real hazard", value="0-1")
    _seconds(said.status_definition.status_interval, status_every_s)
    said.config_data.add(manufacturer="threat-scorer", model=device, software_version=bundle)
    mode = said.mode_definition.add(mode_name=MODE, mode_type=_Registration.MODE_TYPE_DEFAULT)
    _seconds(mode.settle_time, 0.0)
    mode.scan_type = _Registration.SCAN_TYPE_FIXED
    mode.tracking_type = _Registration.TRACKING_TYPE_NONE
    region = mode.task.region_definition
    region.region_type.append(_Registration.REGION_TYPE_AREA_OF_INTEREST)
    _degrees(region.region_area.add())
    mode.task.concurrent_tasks = 0
    detection = mode.detection_definition.add()
    _degrees(detection.location_type)
    for name in OBJECT_INFO:
        detection.detection_report.add(
            category=_Registration.DETECTION_REPORT_CATEGORY_OBJECT, type=name, units="text", on_change=False
        )
    classes = detection.detection_class_definition.add()
    classes.confidence_definition = _Registration.CONFIDENCE_DEFINITION_SINGLE_CLASS
    classes.class_definition.add(type=HAZARD, units="0-1")


def report_status(message: SapientMessage, *, system: str, at: float, position: Mapping[str, Any] | None) -> None:
    """Say how we are, `system` being a key of `SYSTEMS`."""
    said = message.status_report
    said.report_id = ulid(at, f"status {at}")
    said.system = SYSTEMS[system]
    said.info = status_report_pb2.StatusReport.INFO_NEW
    said.mode = MODE
    if position:
        _place(said.node_location, position)


def report_detection(message: SapientMessage, record: Mapping[str, Any], key: str) -> None:
    """Say a score that has a position."""
    said = message.detection_report
    at = parse_iso(record["scored_at"])
    said.report_id, said.object_id = ulid(at, f"report {key}"), ulid(at, f"object {key}")
    _place(said.location, record["position"])
    said.detection_confidence = record["probability"]
    said.classification.add(type=HAZARD, confidence=record["probability"])
    told = {**record, "key": key, "simulated": record.get("simulated", False), "marking": marking(record)}
    for name in OBJECT_INFO:
        said.object_info.add(type=name, value=_text(told[name]))
    said.id = _text(record["id"])


def raise_alert(message: SapientMessage, record: Mapping[str, Any], key: str) -> str:
    """Say an alarm, with a position or without; return the alert's id."""
    said = message.alert
    at = parse_iso(record["scored_at"])
    said.alert_id = ulid(at, f"alert {key}")
    said.alert_type = alert_pb2.Alert.ALERT_TYPE_WARNING
    said.status = alert_pb2.Alert.ALERT_STATUS_ACTIVE
    said.description = _text("; ".join([f"{record['likelihood']} an {HAZARD}", *record.get("reasons", ())]))
    said.confidence = record["probability"]
    said.priority = _priority(record["probability"])
    if "position" in record:
        _place(said.location, record["position"])
        said.associated_detection.add(
            node_id=message.node_id,
            object_id=ulid(at, f"object {key}"),
            association_type=associated_detection_pb2.ASSOCIATION_RELATION_PARENT,
        )
    alert_id: str = said.alert_id
    return alert_id


def refuse_task(message: SapientMessage, task_id: str) -> None:
    """Say that we take no task."""
    said = message.task_ack
    said.task_id = task_id
    said.task_status = task_ack_pb2.TaskAck.TASK_STATUS_REJECTED
    said.reason.append("this node takes no tasks")


def marking(record: Mapping[str, Any]) -> str:
    """Return who owns a record, who may have it, and its TLP."""
    given = record["marking"]
    return f"TLP:{given['tlp']} from {given['originator']} for {', '.join(given['releasable_to'])}"


def _priority(probability: float) -> "alert_pb2.Alert.DiscretePriority":
    if probability >= 0.8:
        return alert_pb2.Alert.DISCRETE_PRIORITY_HIGH
    return alert_pb2.Alert.DISCRETE_PRIORITY_MEDIUM if probability >= 0.5 else alert_pb2.Alert.DISCRETE_PRIORITY_LOW


def _place(location: _Location, position: Mapping[str, Any]) -> None:
    location.x, location.y = position["longitude_deg"], position["latitude_deg"]
    location.coordinate_system = location_pb2.LOCATION_COORDINATE_SYSTEM_LAT_LNG_DEG_M
    location.datum = location_pb2.LOCATION_DATUM_WGS84_E
    if "error_m" in position:
        location.x_error = location.y_error = position["error_m"]


def _degrees(kind: _Registration.LocationType) -> None:
    kind.location_units = location_pb2.LOCATION_COORDINATE_SYSTEM_LAT_LNG_DEG_M
    kind.location_datum = location_pb2.LOCATION_DATUM_WGS84_E


def _seconds(duration: _Registration.Duration, value: float) -> None:
    duration.units, duration.value = _Registration.TIME_UNITS_SECONDS, value


def _text(value: object) -> str:
    """Return a value as text that protobuf takes: a record's text may hold halves of surrogate pairs."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode("utf-8", "replace").decode()
