"""A piece of work -> the time that it took, and the energy where this machine's processors count it.

Without a meter in the plug, a program can read only the processors' counters (RAPL, through Linux's powercap). Where
they cannot be read, energy is unknown and stays so. The usual library, codecarbon, then multiplies a processor's rated
power by half its time, which is no measurement. By default it asks a server for the machine's place. It also needs ten
packages. Where the counters can be read, it does what this module does.
"""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
COUNTED = ("package", "dram")
"""Beginnings of the names of counters that do not include each other: processors, and memory that has its own."""


@dataclass(frozen=True)
class Effort:
    """What a piece of work took."""

    wall_s: float
    cpu_s: float
    """Processor time of this process, all its threads together."""
    joules: float | None
    """Of all that the processors did meanwhile, other programs' work too; None where it cannot be read."""
    machine: str
    """Kind and number of its processors."""


class Stopwatch:
    """Counts from when it is made.

    Examples
    --------
    >>> spent = Stopwatch().read()
    >>> spent.wall_s >= 0 and spent.cpu_s >= 0
    True
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        """Start; `powercap` is the folder of the counters."""
        self._powercap = powercap
        self._wall_s, self._cpu_s, self._counters = time.monotonic(), time.process_time(), _counters(powercap)

    def read(self) -> Effort:
        """Return what it took until now; of a counter that began anew in between, once at most."""
        now = _counters(self._powercap)
        return Effort(
            wall_s=time.monotonic() - self._wall_s,
            cpu_s=time.process_time() - self._cpu_s,
            joules=_joules(self._counters, now) if now and now.keys() == self._counters.keys() else None,
            machine=f"{platform.machine()}, {os.cpu_count()} processors",
        )


def _joules(before: dict[Path, tuple[int, int]], after: dict[Path, tuple[int, int]]) -> float:
    return sum((after[zone][0] - before[zone][0]) % (largest + 1) for zone, (_, largest) in after.items()) / 1e6


def _counters(powercap: Path) -> dict[Path, tuple[int, int]]:
    """Return each counter's microjoules, and those at which it begins anew; none where they cannot all be read."""
    try:
        return {
            zone: (int((zone / "energy_uj").read_text()), int((zone / "max_energy_range_uj").read_text()))
            for zone in sorted(powercap.glob("intel-rapl:*"))  # AMD's processors too are listed under this name
            if (zone / "name").read_text().startswith(COUNTED)
        }
    except (OSError, ValueError):
        return {}
