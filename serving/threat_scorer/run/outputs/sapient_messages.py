"""Score records, registration and status -> protobuf messages of SAPIENT (BSI Flex 335 v2.0)."""

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
"""The keys of each detection's `object_info`."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_Location = location_pb2.Location
_Registration = registration_pb2.Registration


def ulid(at: float, name: str) -> str:
    """Return a ULID, the same for the same time and name: a record that is sent twice is one object.

    Parameters
    ----------
    at
        Seconds since 1970, its first 48 bits.
    name
        Text; its digest makes the other 80 bits.

    Examples
    --------
    >>> ulid(1.5, "a"), ulid(1.5, "a") == ulid(1.5, "b")
    ('00000001EWXCFWJYDX6KKHDRS5', False)
    """
    random = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=10).digest())
    number = (max(int(1000 * at), 0) % 2**48) << 80 | random
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def envelope(node_id: str, at: float, *, additional: str = "") -> SapientMessage:
    """Return a message without content.

    Parameters
    ----------
    node_id
        UUID of this device.
    at
        Seconds since 1970, UTC.
    additional
        Text beside the content, such as the marking.
    """
    message = SapientMessage(node_id=node_id)
    message.timestamp.FromNanoseconds(int(at * 1e9))
    if additional:
        message.additional_information = additional
    return message


def register(message: SapientMessage, *, device: str, bundle: str, status_every_s: float) -> None:
    """Fill in the registration: detections of hazards, one mode, no tasks.

    Parameters
    ----------
    message
        As `envelope` returns it.
    device
        Name of the device.
    bundle
        Identity of the bundle that scores.
    status_every_s
        Seconds between two status reports.
    """
    registration = message.registration
    registration.icd_version = VERSION
    registration.name = registration.short_name = device
    registration.node_definition.add(
        node_type=_Registration.NODE_TYPE_PROXIMITY_SENSOR, node_sub_type=["buried hazard alarms"]
    )
    registration.capabilities.add(category="Sensor", type="Probability that an alarm is a real hazard", value="0-1")
    _seconds(registration.status_definition.status_interval, status_every_s)
    registration.config_data.add(manufacturer="threat-scorer", model=device, software_version=bundle)
    mode = registration.mode_definition.add(mode_name=MODE, mode_type=_Registration.MODE_TYPE_DEFAULT)
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
    """Fill in a status report.

    Parameters
    ----------
    message
        As `envelope` returns it.
    system
        A key of `SYSTEMS`.
    at
        Seconds since 1970, UTC.
    position
        Where the device stands; None for a device that moves.
    """
    status = message.status_report
    status.report_id = ulid(at, f"status {at}")
    status.system = SYSTEMS[system]
    status.info = status_report_pb2.StatusReport.INFO_NEW
    status.mode = MODE
    if position:
        _place(status.node_location, position)


def report_detection(message: SapientMessage, record: Mapping[str, Any], key: str) -> None:
    """Fill in the detection of a score that has a position.

    Parameters
    ----------
    message
        As `envelope` returns it.
    record, key
        The score record, and its key in the outbox.
    """
    detection = message.detection_report
    at = parse_iso(record["scored_at"])
    detection.report_id, detection.object_id = ulid(at, f"report {key}"), ulid(at, f"object {key}")
    _place(detection.location, record["position"])
    detection.detection_confidence = record["probability"]
    detection.classification.add(type=HAZARD, confidence=record["probability"])
    values = {**record, "key": key, "simulated": record.get("simulated", False), "marking": marking(record)}
    for name in OBJECT_INFO:
        detection.object_info.add(type=name, value=_text(values[name]))
    detection.id = _text(record["id"])


def raise_alert(message: SapientMessage, record: Mapping[str, Any], key: str) -> str:
    """Fill in the alert of an alarm, with a position or without; return the alert's id.

    Parameters
    ----------
    message
        As `envelope` returns it.
    record, key
        The score record, and its key in the outbox.
    """
    alert = message.alert
    at = parse_iso(record["scored_at"])
    alert.alert_id = ulid(at, f"alert {key}")
    alert.alert_type = alert_pb2.Alert.ALERT_TYPE_WARNING
    alert.status = alert_pb2.Alert.ALERT_STATUS_ACTIVE
    alert.description = _text("; ".join([f"{record['likelihood']} an {HAZARD}", *record.get("reasons", ())]))
    alert.confidence = record["probability"]
    alert.priority = _priority(record["probability"])
    if "position" in record:
        _place(alert.location, record["position"])
        alert.associated_detection.add(
            node_id=message.node_id,
            object_id=ulid(at, f"object {key}"),
            association_type=associated_detection_pb2.ASSOCIATION_RELATION_PARENT,
        )
    alert_id: str = alert.alert_id
    return alert_id


def refuse_task(message: SapientMessage, task_id: str) -> None:
    """Fill in the rejection of a task."""
    acknowledgement = message.task_ack
    acknowledgement.task_id = task_id
    acknowledgement.task_status = task_ack_pb2.TaskAck.TASK_STATUS_REJECTED
    acknowledgement.reason.append("this node takes no tasks")


def marking(record: Mapping[str, Any]) -> str:
    """Return the marking of a record: TLP, originator, and partners that may have it."""
    of = record["marking"]
    return f"TLP:{of['tlp']} from {of['originator']} for {', '.join(of['releasable_to'])}"


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
    """Return a value as text that protobuf takes: a record's text may contain halves of surrogate pairs."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode("utf-8", "replace").decode()
