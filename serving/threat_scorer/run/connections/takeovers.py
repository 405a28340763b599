"""Reasons for which a broker ended connections -> a message where another client uses our client_id.

A broker of MQTT 5 gives reason 142 then. Some do not: Mosquitto before 2.0.15 only closes the connection.
"""

from threat_scorer.run.clock import boottime

SESSION_TAKEN_OVER, UNSPECIFIED = 142, 128
"""Reason codes: of a takeover, and of a connection that ended without a reason."""
TAKEN_OVER_S = 300.0
"""A takeover is reported for so long: the connection is back within a second, and is lost again."""
UNEXPLAINED_S = 60.0
SUSPICIOUS = 3
"""So many connections that end without a reason within `UNEXPLAINED_S` look like takeovers."""
MOST_KEPT = 1000


class Takeovers:
    """Counts the connections that another client ended, or seems to have ended.

    Parameters
    ----------
    client_id, broker
        For messages.
    """

    def __init__(self, client_id: str, broker: str) -> None:
        self._client_id, self._broker = client_id, broker
        self._taken_over: tuple[float, ...] = ()  # replaced, not changed: another thread reads it
        self._unexplained: tuple[float, ...] = ()

    def note(self, reason: int) -> None:
        """Note the reason code with which a connection was lost."""
        if reason == SESSION_TAKEN_OVER:
            self._taken_over = (*self._taken_over[-MOST_KEPT:], boottime())
        elif reason == UNSPECIFIED:
            self._unexplained = (*self._unexplained[-MOST_KEPT:], boottime())

    def message(self) -> str | None:
        """Return the problem; None where no other client was noticed recently."""
        now = boottime()
        expected = "expected each client to have its own client_id"
        if count := sum(at > now - TAKEN_OVER_S for at in self._taken_over):
            return (
                f"another client took over the session {self._client_id!r} at {self._broker}, "
                f"{count} times in {TAKEN_OVER_S:.0f} s; {expected}"
            )
        unexplained = sum(at > now - UNEXPLAINED_S for at in self._unexplained)
        if unexplained >= SUSPICIOUS:
            return (
                f"{self._broker} ended the session {self._client_id!r} without a reason, {unexplained} times in "
                f"{UNEXPLAINED_S:.0f} s: probably another client took it over; {expected}"
            )
        return None
