"""The tables of scorer.toml, and the whole of it: one frozen dataclass for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from threat_scorer.parsing.typed_fields import limited, one_of
from threat_scorer.run.config.certificates import Tls
from threat_scorer.run.config.peers import PORT, AnyInput, AnyOutput

HTTP = "http"
"""Name of what comes in through ``POST /v1/score``."""


@dataclass(frozen=True)
class Queue:
    """Records that were read and not yet scored."""

    limit: int = limited(1, 10**6, 10_000)
    limit_mib: float = limited(1, 10**4, 16.0)
    """Most memory that their lines may take."""
    overload: Literal["oldest", "newest", "wait"] = "oldest"
    """Which record is refused when it is full; ``wait`` refuses none and reads no more until there is room."""


@dataclass(frozen=True)
class OutboxLimits:
    """Scores that were not yet delivered."""

    limit_mib: float = limited(0.01, 10**6, 256.0)
    when_full: Literal["oldest", "lowest", "refuse"] = "oldest"
    """What goes: the oldest, the least probable, or nothing: then new records are refused."""


@dataclass(frozen=True)
class Position:
    """Where the device stands, for records that do not say where they were made; for one that does not move."""

    latitude_deg: float = limited(-90, 90)
    longitude_deg: float = limited(-180, 180)
    error_m: float = limited(0, 1e6, 0.0)


@dataclass(frozen=True)
class Http:
    """A port for health, metrics and scoring."""

    port: int = limited(*PORT)
    host: str = "127.0.0.1"
    tls: Tls | None = None
    """Asks each caller for a certificate."""
    remote: bool = False
    """True to let other machines reach it without TLS."""
    model: str | None = None
    """Name of the model behind ``POST /v1/score``; without it the port only tells of health."""


@dataclass(frozen=True)
class Health:
    """What counts as well."""

    every_s: float = limited(0.1, 60, 5.0)
    wedged_after_s: float = limited(1, 3600, 30.0)
    """No step forward for so long with work waiting: stuck."""
    latency_warn_ms: float = limited(0.1, 1e6, 100.0)
    """From read to safe on disk, 99th percentile of the last records."""
    disk_free_warn_mib: float = limited(0, 1e6, 64.0)
    temperature_warn_c: float = limited(-40, 150, 85.0)


@dataclass(frozen=True)
class Degrade:
    """When an input of a sensor is at fault."""

    stuck_after: int = limited(2, 10**9, 100)
    """The same value in so many records, one after the other."""
    missing_after: int = limited(1, 10**9, 20)
    """Nothing in so many records, of an input that was there before."""
    background_records: int = limited(10, 10**6, 500)
    """So many first records make the background."""
    drift_records: int = limited(10, 10**6, 500)
    """The late mean, which is compared with the background's, looks back about so far."""
    drift_deviations: float = limited(0.1, 100, 1.0)
    """How far it may depart, in standard deviations of the background."""
    steady: tuple[str, ...] = ()
    """Inputs that may well stand still or be moved, as the height of a mast: neither stuck nor drifting."""


@dataclass(frozen=True)
class Log:
    """Lines on stderr."""

    level: Literal["warning", "info", "detail"] = "info"
    """``detail`` may show what records held; the others never do."""
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
    """Folder of a bundle that nobody signed, to practise with; without it the installed one is loaded."""
    operating_point: str | None = None
    """Name of the operating point that decides; needed where a model has more than one."""
    reasons: Literal["all", "alarms", "none"] = "all"
    """Which scores say why; each costs about as much again as the score."""
    queue: Queue = Queue()
    outbox: OutboxLimits = OutboxLimits()
    health: Health = Health()
    degrade: Degrade = Degrade()
    log: Log = Log()
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
