"""The running process -> named checks and a status file; a status file -> the condition of the process."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from threat_scorer.parsing import strict_json
from threat_scorer.run.clock import boottime
from threat_scorer.run.config.settings import Config
from threat_scorer.run.monitoring.counters import Counters
from threat_scorer.run.outbox.outbox import Outbox
from threat_scorer.run.outputs.delivery import Delivery
from threat_scorer.run.queue import IntakeQueue
from threat_scorer.run.sensor_monitor import SensorMonitor

Level = Literal["ok", "warning", "failure"]
THERMAL = Path("/sys/class/thermal")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
EXPIRES_SOON_DAYS = 7
STALE_AFTER_PERIODS = 4
"""A status file that was not written for so many periods is that of a wedged process."""


@dataclass(frozen=True)
class Check:
    """One thing that health looks at."""

    name: str
    level: Level
    message: str


@dataclass(frozen=True)
class Checks:
    """Checks the running process; a message contains nothing of any record."""

    config: Config
    bundle: str
    """Identity of the bundle."""
    expires_at: float | None
    """When the bundle expires, in seconds since 1970; None for an unsigned bundle."""
    queue: IntakeQueue
    outbox: Outbox
    deliveries: Sequence[Delivery]
    counters: Counters
    troubles: Mapping[str, Callable[[], str | None]]
    """Return what is wrong with the connection of an input, or None; by the input's name."""
    monitors: Mapping[str, SensorMonitor]
    """By the input's name."""

    def all(self) -> list[Check]:
        """Return every check, in a fixed order."""
        return [
            Check("model", "failure" if self.counters.model_failures else "ok", f"{self.bundle}, golden rows passed"),
            self._expiry(),
            self._progress(),
            self._queue(),
            self._outbox(),
            self._disk(),
            self._latency(),
            Check("clock", *_either(self.counters.clock_uncertain, "warning", "not to be trusted", "runs on")),
            *self._temperatures(),
            *(self._input(name, at) for name, at in self.counters.inputs.items()),
            *(self._connection(name, trouble()) for name, trouble in self.troubles.items()),
            *(self._sensor(name, monitor) for name, monitor in self.monitors.items()),
            *(self._output(delivery) for delivery in self.deliveries),
        ]

    def wedged(self) -> bool:
        """Return whether a batch takes so long that the process counts as stuck."""
        since = self.counters.busy_since
        return since is not None and boottime() - since > self.config.health.wedged_after_s

    def _expiry(self) -> Check:
        if self.expires_at is None:
            return Check("bundle", "ok", "unsigned: for practice only")
        days = (self.expires_at - time.time()) / 86_400
        if days <= 0:
            return Check("bundle", "failure", f"expired {-days:.1f} days ago: it is not loaded again")
        return Check("bundle", "warning" if days < EXPIRES_SOON_DAYS else "ok", f"signed, expires in {days:.0f} days")

    def _progress(self) -> Check:
        return Check("progress", *_either(self.wedged(), "failure", "a batch does not come to an end", "moves on"))

    def _queue(self) -> Check:
        depth, refused = len(self.queue), self.queue.refused
        message = f"{depth} of {self.queue.limit} wait; {refused} were refused"
        return Check("queue", "warning" if depth > 0.8 * self.queue.limit else "ok", message)

    def _outbox(self) -> Check:
        share = self.outbox.bytes / self.outbox.limit_bytes
        dropped = self.outbox.counts()["dropped"]
        message = f"{self.outbox.depth} wait, {100 * share:.0f} % of the limit; {dropped} were dropped"
        level: Level = "failure" if share > 0.98 else "warning" if share > 0.8 or self.outbox.damaged else "ok"
        if self.outbox.damaged:
            message += f"; a damaged file was put aside as {self.outbox.damaged.name}"
        return Check("outbox", level, message)

    def _disk(self) -> Check:
        disk = os.statvfs(self.config.state)
        free_mib = disk.f_bavail * disk.f_frsize / 2**20
        low = free_mib < self.config.health.disk_free_warn_mib
        return Check("disk", "warning" if low else "ok", f"{free_mib:.0f} MiB free")

    def _latency(self) -> Check:
        slowest_s = self.counters.latency_s(0.99)
        if slowest_s is None:
            return Check("latency", "ok", "no record yet")
        slow = 1000 * slowest_s > self.config.health.latency_warn_ms
        return Check(
            "latency", "warning" if slow else "ok", f"99 % of records on disk within {1000 * slowest_s:.1f} ms"
        )

    def _temperatures(self) -> Iterator[Check]:
        degrees = {}
        for zone in sorted(THERMAL.glob("thermal_zone*/temp")):
            with contextlib.suppress(OSError, ValueError):
                degrees[zone.parent.name] = int(zone.read_text()) / 1000
        if degrees:
            zone_name, hottest = max(degrees.items(), key=lambda item: item[1])
            hot = hottest > self.config.health.temperature_warn_c
            yield Check("temperature", "warning" if hot else "ok", f"{hottest:.0f} degrees C in {zone_name}")

    def _input(self, name: str, last: float) -> Check:
        limits = {entry.name: entry.quiet_after_s for entry in self.config.input}
        silent_s = boottime() - last
        quiet = silent_s > limits.get(name, float("inf"))
        return Check(f"input {name}", "warning" if quiet else "ok", f"silent for {silent_s:.0f} s")

    def _sensor(self, name: str, monitor: SensorMonitor) -> Check:
        faults = monitor.faults
        return Check(f"sensor {name}", "warning" if faults else "ok", "; ".join(faults) or "no fault seen")

    def _connection(self, name: str, trouble: str | None) -> Check:
        return Check(f"connection {name}", "warning" if trouble else "ok", trouble or "stands")

    def _output(self, delivery: Delivery) -> Check:
        waiting = self.outbox.behind(delivery.name)
        message = f"{delivery.sent} delivered, {waiting} wait"
        if (trouble := delivery.trouble) is None:
            return Check(f"output {delivery.name}", "ok", message)
        down = f"down for {boottime() - delivery.since:.0f} s" if delivery.error else "down"
        return Check(f"output {delivery.name}", "warning", f"{down} ({trouble}); {message}")


def _either(bad: bool, level: Level, message: str, otherwise: str) -> tuple[Level, str]:
    return (level, message) if bad else ("ok", otherwise)


def worst(checks: Sequence[Check]) -> Level:
    """Return the worst level of all checks."""
    levels = {check.level for check in checks}
    return "failure" if "failure" in levels else "warning" if "warning" in levels else "ok"


def write_status(path: Path, checks: Sequence[Check], *, every_s: float, state: str) -> None:
    """Replace the status file in one step: a reader sees the old file or the new one, whole.

    Parameters
    ----------
    path
        The status file.
    checks
        As `Checks.all` returns them.
    every_s
        Seconds until the file is written again: a reader judges its age by this.
    state
        ``running`` or ``stopped``.

    Raises
    ------
    OSError
        The disk did not take it.
    """
    status = {
        "state": state,
        "pid": os.getpid(),
        "boot": _boot_id(),
        "steady_s": boottime(),
        "every_s": every_s,
        "level": worst(checks),
        "checks": [asdict(check) for check in checks],
    }
    new = path.with_suffix(".new")
    new.write_text(json.dumps(status, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


@dataclass(frozen=True)
class Status:
    """The condition of a process, as another process reads it from the status file."""

    condition: Literal["working", "quiet", "degraded", "wedged", "stopped"]
    """``quiet``: it runs and no record comes in. ``wedged``: it runs and does not move."""
    checks: tuple[Check, ...]


def read_status(path: Path) -> Status:
    """Read a status file as of now: a file that is too old is that of a wedged process.

    Raises
    ------
    ValueError
        The file is no status file.
    """
    try:
        status: dict[str, Any] = strict_json.parse(path.read_bytes())
        checks = tuple(Check(**check) for check in status["checks"])
        if status["state"] == "stopped" or status["boot"] != _boot_id() or not _runs(status["pid"]):
            return Status("stopped", checks)
        stale = boottime() - status["steady_s"] > STALE_AFTER_PERIODS * status["every_s"]
    except FileNotFoundError:
        return Status("stopped", ())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a status file: {error}") from None
    levels = {check.name: check.level for check in checks}
    if stale or levels.get("progress") == "failure":
        return Status("wedged", checks)
    troubled = [name for name, level in levels.items() if level != "ok"]
    if not troubled:
        return Status("working", checks)
    return Status("quiet" if all(name.startswith("input ") for name in troubled) else "degraded", checks)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return BOOT_ID.read_text().strip()
    return ""
