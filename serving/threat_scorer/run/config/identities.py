"""The inputs and outputs of scorer.toml -> their identifiers; two parts must not share one, nor read each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from threat_scorer.errors import ConfigError
from threat_scorer.run.config.peers import (
    AnyInput,
    AnyOutput,
    Broker,
    FileInput,
    FileOutput,
    MqttInput,
    MqttOutput,
    SapientOutput,
    SparkplugOutput,
)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def client_id(entry: MqttInput | MqttOutput | SparkplugOutput, device: str) -> str:
    """Return the identifier of a connection at its broker.

    Where the configuration gives none, it is made of the names of the device and of the input or output. Names stay
    when a table is added or moved. A position in the file would hand one input's session to another.

    Examples
    --------
    >>> client_id(MqttInput(model="sensor_threat", port=8883, topic="lane/+"), "mast-3")
    'threat-scorer-mast-3-in-mqtt'
    """
    direction = "in" if isinstance(entry, MqttInput) else "out"
    return entry.client_id or f"threat-scorer-{device}-{direction}-{entry.name}"


def sapient_node_id(entry: SapientOutput, device: str) -> str:
    """Return the UUID of this device at a fusion node; every fusion node knows the device by the same one."""
    import uuid  # most devices have no use for it

    return entry.node_id or str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{device}.threat-scorer"))


def check_identities(device: str, inputs: Sequence[AnyInput], outputs: Sequence[AnyOutput]) -> None:
    """Refuse two parts that share an identifier.

    Parameters
    ----------
    device
        Name of the device.
    inputs, outputs
        All tables ``[[input]]`` and ``[[output]]``, in the order of the file.

    Raises
    ------
    ConfigError
        The message names both parts.
    """
    first: dict[tuple[str, str], str] = {}
    for identifier in (*_of_inputs(device, inputs), *_of_outputs(device, outputs)):
        where = first.setdefault((identifier.scope, identifier.value), identifier.where)
        if where != identifier.where:
            raise ConfigError(
                f"{identifier.where}: got {identifier.value!r} again, as in {where}; "
                f"expected {identifier.scope} to be unique"
            )


def refuse_loops(inputs: Sequence[AnyInput], outputs: Sequence[AnyOutput]) -> None:
    """Refuse an input that reads what an output writes: the scorer would score its own scores, for ever.

    Parameters
    ----------
    inputs, outputs
        All tables ``[[input]]`` and ``[[output]]``, in the order of the file.

    Raises
    ------
    ConfigError
        The message names both parts.
    """
    for i, reads in enumerate(inputs):
        if isinstance(reads, FileInput):
            for k, writes in enumerate(outputs):
                if isinstance(writes, FileOutput) and reads.path.resolve() == writes.path.resolve():
                    raise ConfigError(f"input[{i}].path: got {reads.path}, which output[{k}] writes; expected another")
        if isinstance(reads, MqttInput):
            for where, peer, topic in _published(inputs, outputs):
                if peer == _peer(reads) and takes(reads.topic, topic):
                    raise ConfigError(
                        f"input[{i}].topic: got {reads.topic!r}, which takes {topic!r} of {where} too; "
                        "expected topics that this scorer does not publish"
                    )


def _published(inputs: Sequence[AnyInput], outputs: Sequence[AnyOutput]) -> Iterator[tuple[str, str, str]]:
    """Yield the key, the peer and the topic of everything that we publish in plain MQTT."""
    for kind, entries in (("input", inputs), ("output", outputs)):
        for n, entry in enumerate(entries):
            if isinstance(entry, MqttOutput):
                yield f"{kind}[{n}].topic", _peer(entry), entry.topic
            if isinstance(entry, MqttInput | MqttOutput) and entry.availability:
                yield f"{kind}[{n}].availability", _peer(entry), entry.availability


def takes(subscription: str, topic: str) -> bool:
    """Return whether a subscription receives what is published to a topic (MQTT 5, 4.7).

    Parameters
    ----------
    subscription
        A topic filter, perhaps shared: ``$share/<group>/<filter>``.
    topic
        Without wildcards.

    Examples
    --------
    >>> [takes(each, "lane/4/scores") for each in ("lane/+/scores", "lane/#", "#", "$share/g/lane/4/+", "lane/+")]
    [True, True, True, True, False]
    """
    levels, published = subscription.split("/"), topic.split("/")
    if levels[0] == "$share":
        levels = levels[2:]
    if topic.startswith("$") and levels[0] in ("+", "#"):
        return False
    for level, name in zip(levels, published, strict=False):
        if level == "#":
            return True
        if level not in ("+", name):
            return False
    return len(levels) == len(published) or levels[len(published) :] == ["#"]


@dataclass(frozen=True)
class _Identifier:
    where: str
    """Key in the configuration."""
    scope: str
    """Description of the identifiers among which it must be unique."""
    value: str


def _of_inputs(device: str, inputs: Sequence[AnyInput]) -> Iterator[_Identifier]:
    for i, entry in enumerate(inputs):
        yield _Identifier(f"input[{i}].name", "the name of each input", entry.name)
        if isinstance(entry, MqttInput):
            yield from _of_client(entry, f"input[{i}]", device)


def _of_outputs(device: str, outputs: Sequence[AnyOutput]) -> Iterator[_Identifier]:
    for i, entry in enumerate(outputs):
        where = f"output[{i}]"
        yield _Identifier(f"{where}.name", "the name of each output", entry.name)
        if isinstance(entry, FileOutput):
            yield _Identifier(f"{where}.path", "the file of each output", str(entry.path.resolve()))
        if isinstance(entry, MqttOutput | SparkplugOutput):
            yield from _of_client(entry, where, device)
        if isinstance(entry, SparkplugOutput):
            scope = f"each edge node (group/node) at {_peer(entry)}"
            yield _Identifier(f"{where}.node", scope, f"{entry.group}/{entry.node}")
        if isinstance(entry, SapientOutput):
            yield _Identifier(f"{where}.node_id", f"each node_id at {_peer(entry)}", sapient_node_id(entry, device))


def _of_client(entry: MqttInput | MqttOutput | SparkplugOutput, where: str, device: str) -> Iterator[_Identifier]:
    yield _Identifier(f"{where}.client_id", f"each client_id at {_peer(entry)}", client_id(entry, device))
    if not isinstance(entry, SparkplugOutput) and entry.availability:
        yield _Identifier(f"{where}.availability", f"each availability topic at {_peer(entry)}", entry.availability)


def _peer(entry: Broker | SapientOutput) -> str:
    """Return host and port; the names of this machine are one host."""
    host = entry.host.lower().rstrip(".")
    return f"{LOOPBACK[0] if host in LOOPBACK else host}:{entry.port}"
