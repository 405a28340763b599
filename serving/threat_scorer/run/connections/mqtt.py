"""The keys of a broker -> a connection that is restored after each loss, whatever the broker sends.

paho-mqtt connects, waits longer after each failure, and sends again what was not acknowledged. This module bounds what
the broker may send, and keeps the reason why the connection is down.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from threat_scorer.errors import ConfigError
from threat_scorer.run.clock import boottime
from threat_scorer.run.config.peers import Broker
from threat_scorer.run.connections.takeovers import UNSPECIFIED, Takeovers
from threat_scorer.run.monitoring.log import Log
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES

try:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.subscribeoptions import SubscribeOptions
except ImportError:
    raise ConfigError("mqtt: paho-mqtt is not installed; expected `pip install threat-scorer[mqtt]`") from None

__all__ = ["LARGEST_PACKET_BYTES", "Availability", "Connection", "SubscribeOptions", "Will", "paho"]
# other modules import paho's names from here: where paho is missing, the message above stands

LARGEST_PACKET_BYTES = LONGEST_LINE_BYTES + 2**17
"""A record and its topic."""
CONNECT_WITHIN_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1, 30
DISCONNECT_WITHIN_S = 2.0
PUBLISH_QOS_2 = 0x34


@dataclass(frozen=True)
class Will:
    """A last will: the message that the broker publishes when our connection is lost."""

    topic: str
    payload: bytes
    retain: bool


class Availability:
    """A topic that shows whether we are connected.

    Parameters
    ----------
    topic
        Name of the topic; empty for none.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def will(self) -> Will | None:
        """Return the message ``offline``, for the last will and for an orderly end."""
        return Will(self._topic, b"offline", retain=True) if self._topic else None

    def publish(self, client: paho.Client) -> None:
        """Publish ``online``."""
        if self._topic:
            client.publish(self._topic, b"online", qos=1, retain=True)


class Connection:
    """A connection to a broker.

    Parameters
    ----------
    entry
        The broker's keys in scorer.toml.
    where
        Names the connection in the log.
    client_id
        Names the session at the broker.
    log
        Takes losses and refusals.
    on_connect
        Called with the client after each connect, to subscribe and to publish a first message.
    on_message
        Called with each message.
    will
        Called before each connect; returns the last will.
    session_s
        How long the broker keeps the session while we are not connected; 0 for a new session at each connect.
    window
        Messages that the broker may send ahead of our acknowledgement.

    Raises
    ------
    ConfigError
        A certificate cannot be used.
    """

    def __init__(
        self,
        entry: Broker,
        *,
        where: str,
        client_id: str,
        log: Log,
        on_connect: Callable[[paho.Client], None],
        on_message: Callable[[paho.MQTTMessage], None] = lambda message: None,
        will: Callable[[], Will | None] = lambda: None,
        session_s: int = 0,
        window: int = 20,
    ) -> None:
        self._entry, self._where, self._log = entry, where, log
        self._on_connect, self._on_message, self._will = on_connect, on_message, will
        self.error: str | None = "not connected yet"
        """Why it is not connected; None where it is."""
        self.up = threading.Event()
        """Set while connected."""
        self.epoch = 0
        """Rises with each lost connection: a message of an older connection must not be acknowledged on a newer."""
        self.on_acknowledged: Callable[[int, Any], None] = lambda mid, reason: None
        """Called with the id of each message or subscription that the broker has acknowledged, and its reason."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        self._properties.SessionExpiryInterval = session_s
        self._properties.ReceiveMaximum = window
        self._properties.MaximumPacketSize = LARGEST_PACKET_BYTES
        self._clean = session_s == 0
        self._had_session = False
        self._takeovers = Takeovers(client_id, f"{entry.host}:{entry.port}")
        self.client = _BoundedClient(self._lost, client_id)
        self._set_callbacks()
        if entry.tls:
            from threat_scorer.run.connections.tls import client_context  # ssl is not loaded where no one needs it

            self.client.tls_set_context(client_context(entry.tls, where))

    @property
    def trouble(self) -> str | None:
        """What is wrong, a recent takeover included; None where nothing is."""
        return "; ".join(filter(None, (self.error, self._takeovers.message()))) or None

    def start(self) -> None:
        """Connect, now or as soon as the broker is there, and stay connected."""
        self.client.connect_async(
            self._entry.host,
            self._entry.port,
            self._entry.keepalive_s,
            clean_start=self._clean,
            properties=self._properties,
        )
        self.client.loop_start()

    def acknowledge(self, message: paho.MQTTMessage, epoch: int) -> None:
        """Acknowledge a message, unless the connection on which it came is lost.

        `epoch` is that of the connection on which it came.
        """
        with self._lock:
            if epoch == self.epoch:
                self.client.ack(message.mid, message.qos)

    def drop(self) -> None:
        """Close the socket without a DISCONNECT: the broker publishes our last will, and paho connects again."""
        connection: Any = self.client.socket()
        with contextlib.suppress(OSError):
            if connection:
                self.client.hangup_reason = "we hung up, for the broker to publish our last will"
                connection.shutdown(socket.SHUT_RDWR)

    def close(self, *, last_message: Will | None = None) -> None:
        """Publish a last message, if there is one, and disconnect for good."""
        if self.up.is_set() and (last := last_message):
            info = self.client.publish(last.topic, last.payload, qos=1, retain=last.retain)
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(DISCONNECT_WITHIN_S)
        self._closed.clear()
        if self.client.disconnect() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._closed.wait(DISCONNECT_WITHIN_S)

    def _set_callbacks(self) -> None:
        client = self.client
        client.connect_timeout = CONNECT_WITHIN_S
        client.reconnect_delay_set(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        client.on_socket_open = lambda _client, _data, connection: _send_at_once(connection)
        client.on_pre_connect = lambda *_: self._prepare()
        client.on_connect = lambda _client, _data, flags, reason, _properties: self._connected(
            reason, kept=flags.session_present
        )
        client.on_connect_fail = lambda *_: self._lost(f"cannot connect: {sys.exc_info()[1]}")
        client.on_disconnect = lambda _client, _data, _flags, reason, _properties: self._disconnected(reason)
        client.on_message = lambda _client, _data, message: self._on_message(message)
        client.on_publish = lambda _client, _data, mid, reason, _properties: self.on_acknowledged(mid, reason)
        client.on_subscribe = lambda _client, _data, mid, reasons, _properties: self._subscribed(mid, reasons)

    def _prepare(self) -> None:
        self.client.hangup_reason = None
        if will := self._will():
            self.client.will_set(will.topic, will.payload, qos=1, retain=will.retain)

    def _connected(self, reason: Any, *, kept: bool) -> None:
        if reason.is_failure:
            self.client.hangup_reason = f"refused by the broker: {reason}"  # logged when paho has hung up
            return
        if self._had_session and not kept:
            self._log.warning("the broker kept no session: messages may be lost", to=self._where)
        self._had_session = not self._clean
        self.error = None
        self._log.info("connected", to=self._where)
        self.up.set()
        self._on_connect(self.client)

    def _disconnected(self, reason: Any) -> None:
        if self.up.is_set() and not self.client.hangup_reason:
            self._takeovers.note(reason.value)
        without_reason = reason.value == UNSPECIFIED
        why = self.client.hangup_reason or ("no reason was given" if without_reason else reason)
        self._lost(f"connection lost: {why}")

    def _subscribed(self, mid: int, reasons: list[Any]) -> None:
        if failures := [str(reason) for reason in reasons if reason.is_failure]:
            self._log.warning("subscription refused", by=self._where, reason=failures[0])
            self.error = f"subscription refused: {failures[0]}"
        self.on_acknowledged(mid, reasons[0])

    def _lost(self, error: str) -> None:
        with self._lock:
            self.epoch += 1
        self.up.clear()
        self.error = error
        self._log.warning("no connection", to=self._where, error=self.trouble)
        self._closed.set()


def _send_at_once(connection: Any) -> None:
    """Do not gather small packets: an acknowledgement would wait for the other side's, 40 ms at a time."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _BoundedClient(paho.Client):
    """paho's client within bounds: no packet of a broker fills the memory or ends the thread."""

    def __init__(self, on_lost: Callable[[str], None], client_id: str) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, manual_ack=True)
        self.hangup_reason: str | None = None
        """Why we hung up; None where the other side did."""
        self._on_lost = on_lost

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Run the connection: an exception in paho, from a broken packet, ends the connection and not the thread."""
        until = boottime()
        while True:
            try:
                return super().loop_forever(timeout, retry_first_connection)
            except Exception as error:
                self._on_lost(f"broken packet: {type(error).__name__}: {error}")
                if connection := self.socket():
                    connection.close()
                until = max(until, boottime()) + FIRST_PAUSE_S
            threading.Event().wait(until - boottime())

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho requests the rest of the packet at once, and would take 256 MiB
        if bufsize > LARGEST_PACKET_BYTES:
            self.hangup_reason = f"a packet of over {LARGEST_PACKET_BYTES} bytes"
            raise ConnectionError(self.hangup_reason)
        return super()._sock_recv(bufsize)

    def _packet_handle(self) -> MQTTErrorCode:
        # paho keeps these in memory until the broker releases them; we subscribe with QoS 1 and get none
        if self._in_packet["command"] & 0xF6 == PUBLISH_QOS_2:
            self.hangup_reason = "a message with QoS 2; we subscribe with QoS 1"
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._packet_handle()
