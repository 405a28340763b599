"""The configuration of an output -> its sink."""

from threat_scorer.run.config.peers import (
    AnyOutput,
    CotOutput,
    FileOutput,
    MqttOutput,
    SapientOutput,
    SparkplugOutput,
    StdoutOutput,
)
from threat_scorer.run.outputs.delivery import Device, Sink
from threat_scorer.run.outputs.files import FileSink, StdoutSink
from threat_scorer.run.outputs.sockets import SocketSink


def open_sink(entry: AnyOutput, device: Device) -> Sink:
    """Return the sink of an output; it opens and connects later.

    Raises
    ------
    ConfigError
        A certificate cannot be used, or a library that it needs is not installed.
    """
    # imported on demand: they cost memory, and most devices have no use for them
    if isinstance(entry, MqttOutput):
        from threat_scorer.run.outputs.mqtt import MqttSink

        return MqttSink(entry, device)
    if isinstance(entry, SparkplugOutput):
        from threat_scorer.run.outputs.sparkplug import SparkplugSink

        return SparkplugSink(entry, device)
    if isinstance(entry, StdoutOutput):
        return StdoutSink()
    if isinstance(entry, FileOutput):
        return FileSink(entry.path)
    if isinstance(entry, CotOutput):
        from threat_scorer.run.outputs.cot import CotSink

        return CotSink(entry)
    if isinstance(entry, SapientOutput):
        from threat_scorer.run.outputs.sapient import SapientSink

        return SapientSink(entry, device)
    return SocketSink(entry)
