"""The tables of scorer.toml, and the whole of it: one frozen dataclass for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from threat_scorer.parsing.typed_fields import limited, one_of, renamed
from threat_scorer.run.config.certificates import Tls
from threat_scorer.run.config.peers import PORT, AnyInput, AnyOutput
from threat_scorer.run.config.position import Position

HTTP = "http"
"""Name of the input that ``POST /v1/score`` is."""


@dataclass(frozen=True)
class QueueLimits:
    """The table ``[queue]``: records that were read and not yet scored."""

    limit: int = limited(1, 10**6, 10_000)
    limit_mib: float = limited(1, 10**4, 16.0)
    """Most memory that their lines may take."""
    overload: Literal["oldest", "newest", "wait"] = "oldest"
    """Which record is refused when it is full; ``wait`` refuses none and reads no more until there is room."""


@dataclass(frozen=True)
class OutboxLimits:
    """The table ``[outbox]``: records that were not yet delivered."""

    limit_mib: float = limited(0.01, 10**6, 256.0)
    when_full: Literal["oldest", "lowest", "refuse"] = "oldest"
    """Which records are dropped: the oldest, the least probable, or none; then new records are refused."""


@dataclass(frozen=True)
class Http:
    """The table ``[http]``: a port for health, metrics and scoring."""

    port: int = limited(*PORT)
    host: str = "127.0.0.1"
    tls: Tls | None = None
    """Certificates, so that each caller has to show one too."""
    remote: bool = False
    """True to let other machines reach it without TLS."""
    model: str | None = None
    """Name of the model behind ``POST /v1/score``; without it the port only reports health."""


@dataclass(frozen=True)
class HealthLimits:
    """The table ``[health]``: beyond which limits a check warns."""

    every_s: float = limited(0.1, 60, 5.0)
    wedged_after_s: float = limited(1, 3600, 30.0)
    """The process is stuck when a batch takes longer."""
    latency_warn_ms: float = limited(0.1, 1e6, 100.0)
    """From read to stored, 99th percentile of the last records."""
    disk_free_warn_mib: float = limited(0, 1e6, 64.0)
    temperature_warn_c: float = limited(-40, 150, 85.0)


@dataclass(frozen=True)
class SensorLimits:
    """The table ``[sensor_monitor]``: when a measurement of a sensor is at fault."""

    stuck_after: int = limited(2, 10**9, 100)
    """Stuck: the same value in so many records, one after the other."""
    missing_after: int = limited(1, 10**9, 20)
    """Missing: no value in so many records, of a measurement that had values before."""
    background_records: int = limited(10, 10**6, 500)
    """The background is learnt from so many first records."""
    drift_records: int = limited(10, 10**6, 500)
    """The recent mean looks back over about so many records; it is compared with the background's."""
    drift_deviations: float = limited(0.1, 100, 1.0)
    """How far the recent mean may depart, in standard deviations of the background."""
    steady: tuple[str, ...] = ()
    """Measurements that may stand still or be moved, as the height of a mast: neither stuck nor drifting."""


@dataclass(frozen=True)
class LogOptions:
    """The table ``[log]``: lines on stderr."""

    level: Literal["warning", "info", "detail"] = "info"
    """``detail`` may show the contents of records; the others never do."""
    per_minute: int = limited(1, 10**6, 30)
    """Most lines a minute about one kind of event."""


@dataclass(frozen=True)
class Config:
    """The whole of scorer.toml."""

    device: str
    """Names this device in every score."""
    state: Path
    """State folder of the device: its signed bundles, the outbox and the status file."""
    input: tuple[AnyInput, ...] = one_of(*get_args(AnyInput))
    output: tuple[AnyOutput, ...] = one_of(*get_args(AnyOutput))
    bundle: Path | None = None
    """Folder of an unsigned bundle, to practise with; None to load the installed one."""
    operating_point: str | None = None
    """Name of the operating point at which an alarm begins; needed where a model has more than one."""
    reasons: Literal["all", "alarms", "none"] = "all"
    """Which scores have reasons; ``none`` saves about a quarter of the time of a record."""
    queue: QueueLimits = QueueLimits()
    outbox: OutboxLimits = OutboxLimits()
    health: HealthLimits = HealthLimits()
    sensor_monitor: SensorLimits = renamed("degrade", SensorLimits())
    log: LogOptions = LogOptions()
    http: Http | None = None
    position: Position | None = None

    @property
    def status_file(self) -> Path:
        """Where health is written."""
        return self.state / "status.json"

    @property
    def background_file(self) -> Path:
        """Where the backgrounds of the sensors are kept; without it they are learnt again."""
        return self.state / "background.json"

    @property
    def outbox_file(self) -> Path:
        """Where scores wait."""
        return self.state / "outbox.sqlite"
