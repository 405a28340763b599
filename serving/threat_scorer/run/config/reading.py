"""scorer.toml -> `Config`, or an error that names the key."""

import re
import tomllib
from pathlib import Path

from threat_scorer.errors import ConfigError
from threat_scorer.parsing import typed_fields
from threat_scorer.parsing.typed_fields import FieldError
from threat_scorer.run.config.identities import LOOPBACK, check_identities, refuse_loops
from threat_scorer.run.config.peers import (
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
)
from threat_scorer.run.config.settings import HTTP, Config, Http

LARGEST_CONFIG_BYTES = 2**20
LONGEST_NAME = 200
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


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
        config = typed_fields.read(Config, value, "", folder=path.parent)
        _check(config)
    except (FieldError, ConfigError) as error:
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
    refuse_loops(config.input, config.output)
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
        _check_text(entry.availability, f"{where}.availability", "+#\0")
    if isinstance(entry, MqttOutput):
        _check_text(entry.topic, f"{where}.topic", "+#\0")
    if isinstance(entry, SparkplugOutput):
        for key in ("group", "node", "primary_host"):
            _check_text(getattr(entry, key), f"{where}.{key}", "+#/\0")


def _check_text(text: str, where: str, without: str) -> None:
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
