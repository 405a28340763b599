"""The configuration of an input -> what reads it until the process stops."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from threat_scorer.run.config.peers import AnyInput, FileInput, MqttInput, StdinInput
from threat_scorer.run.inputs.files import FollowedFile, follow_file, read_stdin
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.queue import IntakeQueue


@dataclass(frozen=True)
class Reader:
    """An open input."""

    name: str
    read: Callable[[], None]
    """Put records on the queue until the input ends or the process stops."""
    trouble: Callable[[], str | None] | None = None
    """Return what is wrong with its connection, or None; None for an input without a connection of ours."""


def open_reader(
    entry: AnyInput, queue: IntakeQueue, stop: threading.Event, log: Log, *, device: str, position: str | None
) -> Reader:
    """Open an input.

    Parameters
    ----------
    entry
        Its configuration.
    queue
        Where its records go.
    stop
        Set when the process stops.
    log
        Takes faults of its peers.
    device
        Name of the device, for the session at a broker.
    position
        How far a file was read before; None to read it from the start.

    Raises
    ------
    ConfigError
        It cannot be opened, or a library that it needs is not installed.
    """
    name = entry.name
    if isinstance(entry, StdinInput):
        return Reader(name, lambda: read_stdin(name, queue, stop))
    if isinstance(entry, FileInput):
        file = FollowedFile(entry.path, position)
        return Reader(name, lambda: follow_file(name, file, queue, stop))
    # imported on demand: each costs up to 3 MiB, which a device without that kind of input does not need
    if isinstance(entry, MqttInput):
        from threat_scorer.run.inputs.mqtt import MqttReader

        reader = MqttReader(entry, queue, log, device=device)
        return Reader(name, lambda: reader.read(stop), lambda: reader.connection.trouble)
    from threat_scorer.run.inputs.listener import listen, serve

    server = listen(entry)
    return Reader(name, lambda: serve(name, server, queue, stop, log))
