"""Records of the outbox -> Cursor on Target events for maps, over UDP, TCP or TLS."""

import contextlib
import json
import re
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from threat_scorer.run.clock import iso, parse_iso
from threat_scorer.run.config.peers import CotOutput
from threat_scorer.run.connections.tcp import client_tls, connect_tcp
from threat_scorer.run.outbox.entries import Row
from threat_scorer.run.outputs.delivery import DeliveryError, Sink

UNKNOWN_M = "9999999.0"
"""CoT's value for an unknown height or error."""
WITHIN_S = 10.0
LONGEST_REMARKS = 900
"""Characters: an event then fits into one datagram."""
MOST_DISCARDED_BYTES = 2**20
"""So much of what a server sends back is discarded at a time. Unread, it would fill the server's send buffer."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class CotSink(Sink):
    """Sends events. A record is delivered when the socket has taken it: CoT has no acknowledgement."""

    def __init__(self, entry: CotOutput) -> None:
        self._entry = entry
        self._tls = client_tls(entry.tls, f"output {entry.name}")
        self._socket: socket.socket | None = None

    def deliver(self, rows: Sequence[Row], stream: str) -> int:
        """Send an event for each record that has one."""
        connection = self._socket or self._connect()
        self.idle()
        for row in rows:
            if event := to_event(json.loads(row.body), row.key, self._entry):
                connection.sendall(event)
        return rows[-1].seq

    def idle(self) -> None:
        """Discard what the server sends back.

        Raises
        ------
        DeliveryError
            The server has hung up.
        """
        if self._socket is None or self._entry.transport == "udp":
            return
        discarded = 0
        self._socket.settimeout(0.0)
        try:
            while discarded < MOST_DISCARDED_BYTES:
                if not (chunk := self._socket.recv(2**16)):
                    raise DeliveryError("the server hung up")
                discarded += len(chunk)
        except OSError as error:
            if not _nothing_to_read(error):
                raise
        finally:
            self._socket.settimeout(WITHIN_S)

    def close(self) -> None:
        """Hang up."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        if self._entry.transport == "tcp":
            self._socket = connect_tcp(self._entry.host, self._entry.port, self._tls, within_s=WITHIN_S)
        else:
            family, *_, address = socket.getaddrinfo(self._entry.host, self._entry.port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.settimeout(WITHIN_S)
            with contextlib.suppress(OSError):  # only a multicast group needs it
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
            self._socket.connect(address)
        return self._socket


def to_event(record: Mapping[str, Any], key: str, entry: CotOutput) -> bytes | None:
    """Return the event of a record; None for a rejection, a score without a position, or one below ``only``.

    Parameters
    ----------
    record
        As `RecordScorer` makes it.
    key
        Of the record: a record that is sent twice is one object on the map.
    entry
        Configuration of the output.
    """
    position = record.get("position")
    if record["type"] != "score" or position is None:
        return None
    if entry.only == "alarms" and not record.get("decision", {}).get("alarm", True):
        return None
    simulated = record.get("simulated", False)
    start = record.get("observed_at") or record["scored_at"]
    event = ElementTree.Element(
        "event",
        version="2.0",
        uid=f"threat-scorer.{key}",
        type=entry.type,
        how="m-s" if simulated else "m-f",
        time=record["scored_at"],
        start=start,
        stale=record.get("expires_at") or iso(parse_iso(record["scored_at"]) + entry.stale_s),
    )
    if simulated:
        event.set("opex", "s-threat-scorer")
    ElementTree.SubElement(
        event,
        "point",
        lat=repr(position["latitude_deg"]),
        lon=repr(position["longitude_deg"]),
        hae=UNKNOWN_M,
        ce=repr(position["error_m"]) if "error_m" in position else UNKNOWN_M,
        le=UNKNOWN_M,
    )
    _add_detail(event, record, simulated=simulated)
    written: bytes = ElementTree.tostring(event, encoding="utf-8", xml_declaration=True)
    return written


def _add_detail(event: ElementTree.Element, record: Mapping[str, Any], *, simulated: bool) -> None:
    detail = ElementTree.SubElement(event, "detail")
    marking = record["marking"]
    ElementTree.SubElement(detail, "contact", callsign=_legible(f"{record['device']} {record['id']}"))
    remarks = ElementTree.SubElement(detail, "remarks", source="threat-scorer", time=record["scored_at"])
    sentences = [
        *(["SIMULATED: learnt from an invented theatre"] if simulated else []),
        f"{record['likelihood']} a hazard ({record['probability']:.0%})",
        *record.get("reasons", ()),
        *(["the device's clock is in doubt"] if record.get("time_uncertain") else []),
        f"TLP:{marking['tlp']}, from {marking['originator']}, for {', '.join(marking['releasable_to'])}",
        "a low score clears no ground",
    ]
    remarks.text = _legible("; ".join(sentences))[:LONGEST_REMARKS]
    ElementTree.SubElement(
        detail,
        "__threatscorer",
        probability=repr(record["probability"]),
        model=_legible(record["model"]),
        bundle=_legible(record["bundle"]),
        simulated=str(simulated).lower(),
    )


def _legible(text: str) -> str:
    """Return text with what XML cannot represent replaced; the rest is escaped when it is written."""
    return _NOT_XML.sub("\ufffd", text)


def _nothing_to_read(error: OSError) -> bool:
    import ssl

    return isinstance(error, BlockingIOError | TimeoutError | ssl.SSLWantReadError)
