"""One connection to an MQTT 5 broker that mends itself, whatever the broker sends.

paho-mqtt connects, waits longer after each failure, and sends again what was not acknowledged; here it is held within
bounds and tells what is wrong.
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

__all__ = ["LARGEST_PACKET_BYTES", "Connection", "SubscribeOptions", "Will", "paho"]
# other modules take paho's names from here: where it is missing, the message above says so

LARGEST_PACKET_BYTES = LONGEST_LINE_BYTES + 2**17
"""A record and its topic."""
CONNECT_WITHIN_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1, 30
GOODBYE_WITHIN_S = 2.0
PUBLISH_QOS_2 = 0x34


@dataclass(frozen=True)
class Will:
    """What the broker says of us when we are gone without a word."""

    topic: str
    payload: bytes
    retain: bool


class Connection:
    """A connection to a broker.

    Parameters
    ----------
    where
        Names it in the log.
    client_id
        Names the session at the broker.
    session_s
        How long the broker keeps the session while we are away; 0 to begin anew each time.
    window
        Messages that the broker may send ahead of our acknowledgement.
    greet
        Called with the client after each connect, to subscribe and to say that we are here.
    hear
        Called with each message.
    will
        Called before each connect.

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
        greet: Callable[[paho.Client], None],
        hear: Callable[[paho.MQTTMessage], None] = lambda message: None,
        will: Callable[[], Will | None] = lambda: None,
        session_s: int = 0,
        window: int = 20,
    ) -> None:
        self._entry, self._where, self._log = entry, where, log
        self._greet, self._hear, self._will = greet, hear, will
        self.error: str | None = "not connected yet"
        """Why it is not connected; None where it is."""
        self.up = threading.Event()
        """Set while connected."""
        self.epoch = 0
        """Rises with each connection that is lost: what is of an older one must not be acknowledged on a newer."""
        self.answers: Callable[[int, Any], None] = lambda mid, reason: None
        """Called with the id of each message or subscription that the broker has answered, and its reason code."""
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
            from threat_scorer.run.connections.tls import client_context  # ssl is not held where no one needs it

            self.client.tls_set_context(client_context(entry.tls, where))

    @property
    def trouble(self) -> str | None:
        """What is wrong, a takeover of late included; None where all is well."""
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
        """Tell the broker that a message is safe, unless the connection on which it came is gone."""
        with self._lock:
            if epoch == self.epoch:
                self.client.ack(message.mid, message.qos)

    def drop(self) -> None:
        """Hang up without a word, so that the broker says our last will; the connection then mends itself."""
        there: Any = self.client.socket()
        with contextlib.suppress(OSError):
            if there:
                self.client.refusal = "we hung up, for the broker to publish our last will"
                there.shutdown(socket.SHUT_RDWR)

    def close(self, *, farewell: Will | None = None) -> None:
        """Say farewell and disconnect for good."""
        if self.up.is_set() and farewell:
            info = self.client.publish(farewell.topic, farewell.payload, qos=1, retain=farewell.retain)
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(GOODBYE_WITHIN_S)
        self._closed.clear()
        if self.client.disconnect() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._closed.wait(GOODBYE_WITHIN_S)

    def _set_callbacks(self) -> None:
        client = self.client
        client.connect_timeout = CONNECT_WITHIN_S
        client.reconnect_delay_set(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        client.on_socket_open = lambda _client, _data, there: _send_at_once(there)
        client.on_pre_connect = lambda *_: self._prepare()
        client.on_connect = lambda _client, _data, flags, reason, _properties: self._connected(
            reason, kept=flags.session_present
        )
        client.on_connect_fail = lambda *_: self._lost(f"cannot connect: {sys.exc_info()[1]}")
        client.on_disconnect = lambda _client, _data, _flags, reason, _properties: self._disconnected(reason)
        client.on_message = lambda _client, _data, message: self._hear(message)
        client.on_publish = lambda _client, _data, mid, reason, _properties: self.answers(mid, reason)
        client.on_subscribe = lambda _client, _data, mid, reasons, _properties: self._subscribed(mid, reasons)

    def _prepare(self) -> None:
        self.client.refusal = None
        if will := self._will():
            self.client.will_set(will.topic, will.payload, qos=1, retain=will.retain)

    def _connected(self, reason: Any, *, kept: bool) -> None:
        if reason.is_failure:
            self.client.refusal = f"refused by the broker: {reason}"  # told when paho has hung up
            return
        if self._had_session and not kept:
            self._log.warning("the broker kept no session: messages may be lost", to=self._where)
        self._had_session = not self._clean
        self.error = None
        self._log.info("connected", to=self._where)
        self.up.set()
        self._greet(self.client)

    def _disconnected(self, reason: Any) -> None:
        if self.up.is_set() and not self.client.refusal:
            self._takeovers.note(reason.value)
        without_reason = reason.value == UNSPECIFIED
        why = self.client.refusal or ("no reason was given" if without_reason else reason)
        self._lost(f"connection lost: {why}")

    def _subscribed(self, mid: int, reasons: list[Any]) -> None:
        if failures := [str(reason) for reason in reasons if reason.is_failure]:
            self._log.warning("subscription refused", by=self._where, reason=failures[0])
            self.error = f"subscription refused: {failures[0]}"
        self.answers(mid, reasons[0])

    def _lost(self, error: str) -> None:
        with self._lock:
            self.epoch += 1
        self.up.clear()
        self.error = error
        self._log.warning("no connection", to=self._where, error=self.trouble)
        self._closed.set()


def _send_at_once(there: Any) -> None:
    """Do not gather small packets: an acknowledgement would wait for the other side's, 40 ms at a time."""
    with contextlib.suppress(OSError):
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _BoundedClient(paho.Client):
    """paho's client, to which a broker cannot send what would fill the memory or end its thread."""

    def __init__(self, lost: Callable[[str], None], client_id: str) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, manual_ack=True)
        self.refusal: str | None = None
        """Why we hung up, where it was we."""
        self._tell_lost = lost

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Run the connection; what a broken packet raises in paho ends that connection, not its thread."""
        until = boottime()
        while True:
            try:
                return super().loop_forever(timeout, retry_first_connection)
            except Exception as error:
                self._tell_lost(f"broken packet: {type(error).__name__}: {error}")
                if there := self.socket():
                    there.close()
                until = max(until, boottime()) + FIRST_PAUSE_S
            threading.Event().wait(until - boottime())

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho asks for the rest of the packet at once, and would take 256 MiB
        if bufsize > LARGEST_PACKET_BYTES:
            self.refusal = f"a packet of over {LARGEST_PACKET_BYTES} bytes"
            raise ConnectionError(self.refusal)
        return super()._sock_recv(bufsize)

    def _packet_handle(self) -> MQTTErrorCode:
        # paho keeps these in memory until the broker releases them; we subscribe with QoS 1 and get none
        if self._in_packet["command"] & 0xF6 == PUBLISH_QOS_2:
            self.refusal = "a message with QoS 2, which was not asked for"
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._packet_handle()
