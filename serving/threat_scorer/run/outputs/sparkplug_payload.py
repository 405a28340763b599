"""Metrics <-> the bytes of a Sparkplug B payload, with the field numbers of the specification.

The message type is declared here, for protobuf's own runtime: no code is generated. protobuf passes over the fields
that it does not know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from threat_scorer.errors import ConfigError

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
except ImportError:
    raise ConfigError("sparkplug: protobuf is not installed; expected `pip install threat-scorer[mqtt]`") from None

_FIELD = descriptor_pb2.FieldDescriptorProto
_METRIC_FIELDS = {
    "name": (1, _FIELD.TYPE_STRING),
    "timestamp": (3, _FIELD.TYPE_UINT64),
    "datatype": (4, _FIELD.TYPE_UINT32),
    "is_historical": (5, _FIELD.TYPE_BOOL),
    "is_null": (7, _FIELD.TYPE_BOOL),
    "long_value": (11, _FIELD.TYPE_UINT64),
    "double_value": (13, _FIELD.TYPE_DOUBLE),
    "boolean_value": (14, _FIELD.TYPE_BOOL),
    "string_value": (15, _FIELD.TYPE_STRING),
}
INT64, DOUBLE, BOOLEAN, STRING = 4, 10, 11, 12
"""Sparkplug's data types."""
_VALUE_FIELDS = {INT64: "long_value", DOUBLE: "double_value", BOOLEAN: "boolean_value", STRING: "string_value"}


class PayloadError(ValueError):
    """Bytes that are no Sparkplug B payload."""


@dataclass(frozen=True)
class Metric:
    """A named value at a time."""

    name: str
    datatype: int
    value: Any = None
    """None is sent as null: a metric of that type without a value."""
    historical: bool = False
    """True for a value of the past, which was stored while there was no connection."""


def encode(metrics: Sequence[Metric], *, at_ms: int, seq: int | None) -> bytes:
    """Return a payload.

    Parameters
    ----------
    at_ms
        Time of the payload and of each metric, in milliseconds since 1970, UTC.
    seq
        Sequence number, 0 to 255; None for a death, which has none.
    """
    payload = _PAYLOAD(timestamp=at_ms)
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        entry = payload.metrics.add(name=metric.name, timestamp=at_ms, datatype=metric.datatype)
        if metric.historical:
            entry.is_historical = True
        if metric.value is None:
            entry.is_null = True
        else:
            setattr(entry, _VALUE_FIELDS[metric.datatype], metric.value)
    encoded: bytes = payload.SerializeToString()
    return encoded


def decode(data: bytes) -> list[Metric]:
    """Return the metrics of a payload whose value is of a type that we know.

    Raises
    ------
    PayloadError
        They are no Sparkplug B payload.

    Examples
    --------
    >>> decode(encode([Metric("alarm", BOOLEAN, True)], at_ms=0, seq=0))
    [Metric(name='alarm', datatype=11, value=True, historical=False)]
    """
    try:
        payload = _PAYLOAD.FromString(data)
    except (message.DecodeError, UnicodeDecodeError) as error:
        raise PayloadError(f"no Sparkplug B payload: {error}") from None
    metrics = []
    for entry in payload.metrics:
        field = _VALUE_FIELDS.get(entry.datatype)
        if field and (entry.HasField(field) or entry.is_null):
            value = None if entry.is_null else getattr(entry, field)
            metrics.append(Metric(entry.name, entry.datatype, value, entry.is_historical))
    return metrics


def _declare() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="threat_scorer/sparkplug_b.proto", package="threat_scorer")
    file.syntax = "proto2"
    metric = file.message_type.add(name="Metric")
    for name, (number, kind) in _METRIC_FIELDS.items():
        metric.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    payload = file.message_type.add(name="Payload")
    payload.field.add(name="timestamp", number=1, type=_FIELD.TYPE_UINT64, label=_FIELD.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".threat_scorer.Metric",
        label=_FIELD.LABEL_REPEATED,
    )
    payload.field.add(name="seq", number=3, type=_FIELD.TYPE_UINT64, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("threat_scorer.Payload"))


_PAYLOAD = _declare()
