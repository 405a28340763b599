"""The tables ``[[input]]`` and ``[[output]]`` of scorer.toml: one frozen dataclass for each kind."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from threat_scorer.parsing.typed_fields import limited
from threat_scorer.run.config.certificates import Tls

PORT = (1, 65535)


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The keys of a connection to an MQTT 5 broker."""

    port: int = limited(*PORT)
    host: str = "127.0.0.1"
    tls: Tls | None = None
    """Needed where `host` is another machine."""
    client_id: str = ""
    """Names the session at the broker; ``threat-scorer-<device>-in-<name>`` (``-out-``) where it is not given."""
    keepalive_s: int = limited(5, 3600, 30)


@dataclass(frozen=True)
class RecordInput:
    """The keys of every table ``[[input]]``."""

    model: str
    """Name of the model that scores its records."""
    name: str = ""
    """Names the input in scores, logs and health; its kind where it is not given."""
    quiet_after_s: float = limited(1, 1e7, 300.0)
    """Silence for so long is a warning."""
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Name it after its kind where it has no name."""
        object.__setattr__(self, "name", self.name or self.kind)


@dataclass(frozen=True)
class StdinInput(RecordInput):
    """JSON Lines on standard input; its end ends the process where there is no other input."""

    kind = "stdin"


@dataclass(frozen=True, kw_only=True)
class FileInput(RecordInput):
    """A file of JSON Lines that is read as it grows. The outbox keeps how far it was read."""

    path: Path
    kind = "file"


@dataclass(frozen=True, kw_only=True)
class UnixInput(RecordInput):
    """A Unix socket on which peers send JSON Lines and get one answer for each."""

    path: Path
    kind = "unix"


@dataclass(frozen=True, kw_only=True)
class TcpInput(RecordInput):
    """A TCP port on which peers send JSON Lines and get one answer for each."""

    port: int = limited(*PORT)
    host: str = "127.0.0.1"
    remote: bool = False
    """True to let other machines reach it, without TLS and without login."""
    kind = "tcp"


@dataclass(frozen=True, kw_only=True)
class MqttInput(Broker, RecordInput):
    """Topics of a broker: each message is one record, acknowledged when its score is on the disk."""

    topic: str
    """Topic filter; ``+`` and ``#`` stand for levels."""
    session_s: int = limited(0, 2**32 - 2, 604_800)
    """How long the broker keeps messages for us while we are not connected."""
    window: int = limited(1, 1000, 100)
    """Messages that the broker may send ahead of our acknowledgement."""
    availability: str = ""
    """Topic for ``online`` and ``offline``, the latter also as last will; none where it is empty."""
    kind = "mqtt"


@dataclass(frozen=True)
class RecordOutput:
    """The keys of every table ``[[output]]``."""

    name: str = ""
    """Names the output in health and in the outbox; its kind where it is not given."""
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Name it after its kind where it has no name."""
        object.__setattr__(self, "name", self.name or self.kind)


@dataclass(frozen=True)
class StdoutOutput(RecordOutput):
    """Score records on standard output."""

    kind = "stdout"


@dataclass(frozen=True, kw_only=True)
class FileOutput(RecordOutput):
    """A file to which score records are appended, and flushed to the disk."""

    path: Path
    kind = "file"


@dataclass(frozen=True, kw_only=True)
class SocketOutput(RecordOutput):
    """The keys of both kinds of socket."""

    ack: bool = True
    """True where the peer answers with ``{"ack": seq}`` when it has stored all records up to `seq`."""
    ack_within_s: float = limited(0.1, 3600, 10.0)


@dataclass(frozen=True, kw_only=True)
class UnixOutput(SocketOutput):
    """A Unix socket to connect to."""

    path: Path
    kind = "unix"


@dataclass(frozen=True, kw_only=True)
class TcpOutput(SocketOutput):
    """A TCP port to connect to."""

    port: int = limited(*PORT)
    host: str = "127.0.0.1"
    tls: Tls | None = None
    remote: bool = False
    """True to let `host` be another machine without TLS."""
    kind = "tcp"


@dataclass(frozen=True, kw_only=True)
class MqttOutput(Broker, RecordOutput):
    """A topic of a broker: each record is one message, QoS 1, delivered when the broker has acknowledged it."""

    topic: str
    availability: str = ""
    """Topic for ``online`` and ``offline``, the latter also as last will; none where it is empty."""
    kind = "mqtt"


@dataclass(frozen=True, kw_only=True)
class SparkplugOutput(Broker, RecordOutput):
    """A Sparkplug B edge node: births, deaths, and each record as NDATA."""

    group: str
    node: str
    primary_host: str = ""
    """Host application that must be online before anything is sent; none where it is empty."""
    kind = "sparkplug"


@dataclass(frozen=True, kw_only=True)
class CotOutput(RecordOutput):
    """Cursor on Target events for maps. A record without a position makes no event."""

    port: int = limited(*PORT)
    host: str = "127.0.0.1"
    transport: Literal["tcp", "udp"] = "tcp"
    tls: Tls | None = None
    """With ``tcp``."""
    remote: bool = False
    """True to let `host` be another machine, or a group, without TLS."""
    type: str = "a-u-G"
    """CoT type of each event: something unknown on the ground; ``b-m-p-s-m`` is a spot on the map."""
    only: Literal["alarms", "scores"] = "alarms"
    """Which records make an event: those at or above the operating point, or every score."""
    stale_s: float = limited(1, 1e8, 86_400.0)
    """How long an event stays on the map where the score has no time of expiry."""
    kind = "cot"


@dataclass(frozen=True, kw_only=True)
class SapientOutput(RecordOutput):
    """A SAPIENT fusion node, BSI Flex 335 v2.0."""

    port: int = limited(*PORT)
    host: str = "127.0.0.1"
    tls: Tls | None = None
    remote: bool = False
    """True to let `host` be another machine without TLS."""
    node_id: str = ""
    """Our UUID; made from the device's name where it is not given."""
    only: Literal["alarms", "scores"] = "scores"
    """Which records make a detection; an alarm also raises an alert."""
    status_every_s: float = limited(1, 3600, 10.0)
    ack_within_s: float = limited(0.1, 3600, 10.0)
    kind = "sapient"


AnyInput: TypeAlias = StdinInput | FileInput | UnixInput | TcpInput | MqttInput
AnyOutput: TypeAlias = (
    StdoutOutput | FileOutput | UnixOutput | TcpOutput | MqttOutput | SparkplugOutput | CotOutput | SapientOutput
)
