"""Events -> JSON Lines on stderr, at most so many a minute of each kind."""

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
        Most lines a minute of one kind of event; the next line counts those that were left out.
    to
        Stream to write to; stderr where it is None.
    """

    def __init__(
        self, level: Literal["warning", "info", "detail"], per_minute: int, *, to: TextIO | None = None
    ) -> None:
        self._most, self._per_minute, self._to = LEVELS.index(level), per_minute, to
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}  # event -> start of its minute, events in it

    def warning(self, event: str, **facts: Any) -> None:
        """Write an event that a person should look at."""
        self._write("warning", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """Write an ordinary event; never the contents of a record."""
        self._write("info", event, facts)

    def detail(self, event: str, **facts: Any) -> None:
        """Write an event that helps to find a fault; it may show the contents of a record."""
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
