"""scorer.toml -> frozen dataclasses; whatever is wrong in it is said with the name of its key."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from threat_scorer.run.config.identities import LOOPBACK, check_identities
from threat_scorer.run.config.peers import (
    PORT,
    AnyInput,
    AnyOutput,
    Broker,
    CotOutput,
    MqttInput,
    MqttOutput,
    SapientOutput,
    SparkplugOutput,
    TcpInput,
    TcpOutput,
    Tls,
)
from threat_scorer.run.config.toml_fields import ConfigError, limited, one_of, read_table

LARGEST_CONFIG_BYTES = 2**20
HTTP = "http"
"""Name of what comes in through ``POST /v1/score``."""
LONGEST_NAME = 200
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


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


def read_config(path: Path) -> Config:
    """Read a configuration.

    Paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        No such file, not TOML, an unknown or missing key, a value of another type or outside its limits.
    """
    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise ConfigError(f"{path}: over {LARGEST_CONFIG_BYTES} bytes; expected a scorer.toml")
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    try:
        config: Config = read_table(Config, value, "", path.parent)
        _check(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return config


def _check(config: Config) -> None:
    for kind, entries in (("input", config.input), ("output", config.output)):
        if not entries and not (kind == "input" and config.http and config.http.model):
            instead = ", or [http] with a model" if kind == "input" else ""
            raise ConfigError(f"{kind}: missing; expected at least one [[{kind}]]{instead}")
        for i, entry in enumerate(entries):
            _check_peer(entry, f"{kind}[{i}]")
    check_identities(config.device, config.input, config.output)
    if config.http:
        _check_host(config.http, "http")
        if HTTP in [entry.name for entry in config.input]:
            raise ConfigError(f"input: got the name {HTTP!r}; expected another, it is that of the HTTP port")


def _check_peer(entry: AnyInput | AnyOutput, where: str) -> None:
    if isinstance(entry, TcpInput | TcpOutput | CotOutput | SapientOutput | Broker):
        _check_host(entry, where)
    if isinstance(entry, SapientOutput) and entry.node_id and not re.fullmatch(UUID, entry.node_id):
        raise ConfigError(f"{where}.node_id: got {entry.node_id!r}; expected a UUID in lower case")
    if isinstance(entry, CotOutput):
        if entry.tls and entry.transport == "udp":
            raise ConfigError(f"{where}.transport: got 'udp' with tls; expected 'tcp'")
        if not re.fullmatch(r"[a-z](-[A-Za-z0-9.]+)+", entry.type):
            raise ConfigError(f"{where}.type: got {entry.type!r}; expected a CoT type as a-u-G")
    if isinstance(entry, MqttInput):
        levels = entry.topic.split("/")
        if any("#" in level for level in levels[:-1]) or any(
            len(level) > 1 and {"+", "#"} & set(level) for level in levels
        ):
            raise ConfigError(f"{where}.topic: got {entry.topic!r}; expected + for whole levels, # for the last")
    if isinstance(entry, MqttInput | MqttOutput):
        _check_words(entry.availability, f"{where}.availability", "+#\0")
    if isinstance(entry, MqttOutput):
        _check_words(entry.topic, f"{where}.topic", "+#\0")
    if isinstance(entry, SparkplugOutput):
        for key in ("group", "node", "primary_host"):
            _check_words(getattr(entry, key), f"{where}.{key}", "+#/\0")


def _check_words(text: str, where: str, without: str) -> None:
    if set(text) & set(without) or len(text) > LONGEST_NAME:
        raise ConfigError(f"{where}: got {text!r}; expected at most {LONGEST_NAME} characters, none of {without[:-1]}")


def _check_host(entry: TcpInput | TcpOutput | CotOutput | SapientOutput | Broker | Http, where: str) -> None:
    if entry.host in LOOPBACK or (not isinstance(entry, TcpInput) and entry.tls):
        return
    if isinstance(entry, Broker):
        raise ConfigError(f"{where}.tls: missing; expected certificates, as {entry.host!r} is another machine")
    if not entry.remote:
        raise ConfigError(
            f"{where}.host: got {entry.host!r}; expected one of {', '.join(LOOPBACK)}, or `remote = true` beside it "
            "to let other machines reach it without TLS" + ("" if isinstance(entry, TcpInput) else ", or `tls`")
        )
