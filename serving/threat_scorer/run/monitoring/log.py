"""Events -> JSON, one a line on stderr, so many a minute of each kind; what records held only at level ``detail``."""

import json
import sys
import threading
import time
from typing import Any, Literal, TextIO

from threat_scorer.run.clock import boottime, iso

LEVELS = ("warning", "info", "detail")


class Log:
    """Writes events.

    Parameters
    ----------
    level
        The least urgent level that is written.
    per_minute
        Most lines a minute of one kind of event; the next line says how many were left out.
    """

    def __init__(
        self, level: Literal["warning", "info", "detail"], per_minute: int, *, to: TextIO | None = None
    ) -> None:
        self._most, self._per_minute, self._to = LEVELS.index(level), per_minute, to
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}  # event -> start of its minute, events in it

    def warning(self, event: str, **facts: Any) -> None:
        """Write what someone should look at."""
        self._write("warning", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """Write what is good to know; never what a record held."""
        self._write("info", event, facts)

    def detail(self, event: str, **facts: Any) -> None:
        """Write what helps to find a fault; may show what records held."""
        self._write("detail", event, facts)

    def _write(self, level: str, event: str, facts: dict[str, Any]) -> None:
        if LEVELS.index(level) > self._most:
            return
        with self._lock:
            now = boottime()
            start, count = self._windows.get(event, (now, 0))
            if now - start >= 60:
                if count > self._per_minute:
                    facts = {**facts, "left_out": count - self._per_minute}
                start, count = now, 0
            self._windows[event] = (start, count + 1)
            if count >= self._per_minute:
                return
            line = json.dumps({"at": iso(time.time()), "level": level, "event": event, **facts}, default=str)
            print(line, file=self._to or sys.stderr, flush=True)
