"""A bundle on this device -> its speed, memory and, where the board counts it, energy."""

import contextlib
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.scorer import Scorer

POWER = Path("/sys/class/powercap")
WARM_UP_ROWS = 200
CADENCE_S = 0.05


def bench(scorer: Scorer, *, rows: int, ticks: int, write: Callable[[str], None]) -> None:
    """Measure every model of a bundle on rows drawn from its inputs' ranges, one thread.

    Parameters
    ----------
    scorer
        The bundle.
    rows
        Different rows to score one after the other.
    ticks
        Rows to score at the pace of a sensor, one every 50 ms: by then the processor's caches contain other data.
    write
        Takes each line of the table.
    """
    write(f"{'model':<16} {'median':>10} {'99 %':>10} {'rows/s':>10} {'every 50 ms':>12} {'energy':>12}")
    for name, contract in scorer.contracts.items():
        records = _records(contract, rows + WARM_UP_ROWS)
        for record in records[:WARM_UP_ROWS]:
            scorer.score_record(name, record)
        joules, start = _joules(), time.perf_counter()
        seconds = [_timed(scorer, name, record) for record in records[WARM_UP_ROWS:]]
        total_s = time.perf_counter() - start
        used = (_joules() or 0.0) - joules if joules is not None else None
        slow = []
        for record in records[:ticks]:
            time.sleep(CADENCE_S)
            slow.append(_timed(scorer, name, record))
        energy = f"{1e6 * used / rows:9.0f} uJ" if used is not None and used > 0 else "unknown"
        median, high = (1e6 * _quantile(seconds, share) for share in (0.5, 0.99))
        paced = f"{1e6 * _quantile(slow, 0.5):9.0f} us" if slow else "not measured"
        write(f"{name:<16} {median:7.1f} us {high:7.1f} us {rows / total_s:10.0f} {paced:>12} {energy:>12}")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write(f"memory: {peak_mib:.0f} MiB at most")


def _timed(scorer: Scorer, model: str, record: dict[str, float]) -> float:
    start = time.perf_counter()
    scorer.score_record(model, record)
    return time.perf_counter() - start


def _records(contract: Contract, count: int) -> list[dict[str, float]]:
    rng = random.Random(7)
    return [{entry.name: rng.uniform(entry.low, entry.high) for entry in contract.inputs} for _ in range(count)]


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _joules() -> float | None:
    """Return the energy that the processor's packages have used so far; None where the board does not count it."""
    total = None
    for counter in POWER.glob("*/energy_uj"):
        if counter.parent.name.count(":") == 1:  # a package; its parts, which have one more, are within it
            with contextlib.suppress(OSError, ValueError):
                total = (total or 0.0) + int(counter.read_text()) / 1e6
    return total
