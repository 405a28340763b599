"""History features of a theatre: this pipeline, polars, mlforecast and pandas, on the same counts, in the same run.

``python benchmarks/features.py [--rounds 3]``. The peers are no dependencies of the project: ``pip install polars
mlforecast`` into an environment that has the project too; one that is missing is left out, with a word. Each run has a
process of its own and two threads; the rounds go from one to the next, so that a busy machine is busy for all. The
time is from counts in memory (events for us, a dense panel for the peers) to the cutoffs' rows in memory; imports and
the making of the counts are not in it. The tables are Markdown, the last line is JSON.
"""

import argparse
import importlib.util
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HALF_LIVES_DAYS = (14.0, 56.0, 180.0, 365.0, 1461.0)
WINDOW_DAYS = 28
FEATURES = len(HALF_LIVES_DAYS) + 2
EVENTS_PER_CELL_AND_DAY = 0.002
TOLERANCE = 1e-5
THREADS = {"POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}


@dataclass(frozen=True)
class Panel:
    """How much history, and at how many cutoffs its features are wanted."""

    cells: int
    days: int
    every_days: int

    @property
    def cutoffs(self) -> np.ndarray:
        """Days whose morning is a cutoff: what happened on the days before it is known."""
        return np.arange(WINDOW_DAYS, self.days, self.every_days)

    @property
    def values_made(self) -> int:
        """Values that walking the whole panel makes."""
        return self.cells * self.days * FEATURES

    def events(self) -> tuple[np.ndarray, np.ndarray]:
        """Return cell and day of each event; none on the first day, from which the peers' recursions start."""
        random = np.random.default_rng(7)
        count = int(self.cells * self.days * EVENTS_PER_CELL_AND_DAY)
        return random.integers(0, self.cells, count), random.integers(1, self.days, count)

    def counts(self) -> np.ndarray:
        """Return the events of each cell and day, float64, shape (cells * days,), cell by cell."""
        cell, day = self.events()
        return np.bincount(cell * self.days + day, minlength=self.cells * self.days).astype(np.float64)

    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        """Return cell and day of each row of the dense panel."""
        days = np.arange(self.days, dtype=np.int32)
        return np.repeat(np.arange(self.cells, dtype=np.int32), self.days), np.tile(days, self.cells)

    def laid_out(self, columns: list[np.ndarray]) -> np.ndarray:
        """Return the peers' columns, cell by cell and cutoff by cutoff, as we have ours: (cutoffs, cells, features)."""
        shape = (self.cells, len(self.cutoffs))
        return np.stack([column.reshape(shape).T.astype(np.float32) for column in columns], axis=2)


SMALL, SMALL_DAILY = Panel(4_000, 500, 14), Panel(4_000, 500, 1)
LARGE, TWICE_AS_LONG = Panel(20_000, 3_650, 14), Panel(20_000, 7_300, 28)


def run_this(panel: Panel) -> tuple[np.ndarray, float]:
    from pipeline.features.events import EventVersions
    from pipeline.features.history import decayed_counts, recent_counts

    cell, day = panel.events()
    started = time.perf_counter()
    known = day + 1.0
    order = np.argsort(known, kind="stable")
    forever = np.full(len(cell), np.inf)
    events = EventVersions(cell[order], known[order], known[order], forever, np.ones((len(cell), 1)), ("event",))
    cutoffs = panel.cutoffs.astype(np.float64)
    rows = np.empty((len(cutoffs), panel.cells, FEATURES), dtype=np.float32)
    decayed = decayed_counts(events, cutoffs, half_lives_days=[*HALF_LIVES_DAYS, math.inf], cells=panel.cells)
    recent = recent_counts(events, cutoffs, starts=cutoffs - WINDOW_DAYS + 1, cells=panel.cells)
    for row, cutoff, sums, counts in zip(rows, cutoffs, decayed, recent, strict=True):
        row[:, :-1], row[:, -1] = sums, counts
        row[:, -2] /= cutoff
    return rows, time.perf_counter() - started


def run_polars(panel: Panel) -> tuple[np.ndarray, float]:
    import polars as pl

    cell, day = panel.keys()
    frame = pl.DataFrame({"cell": cell, "day": day, "count": panel.counts()})
    started = time.perf_counter()
    count = pl.col("count")
    features = [
        *(
            (count.ewm_mean(alpha=_alpha(days), adjust=False) / _alpha(days)).over("cell").alias(f"decay{days:g}d")
            for days in HALF_LIVES_DAYS
        ),
        (count.cum_sum().over("cell") / (pl.col("day") + 1)).alias("mean"),
        count.rolling_sum(WINDOW_DAYS).over("cell").alias("recent"),
    ]
    # the last day before each cutoff
    wanted = frame.lazy().with_columns(features).filter(pl.col("day").is_in(list(panel.cutoffs - 1))).collect()
    rows = panel.laid_out([wanted[name].to_numpy() for name in wanted.columns[3:]])
    return rows, time.perf_counter() - started


def run_mlforecast(panel: Panel) -> tuple[np.ndarray, float]:
    import pandas as pd
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import ExpandingMean, ExponentiallyWeightedMean, RollingMean

    cell, day = panel.keys()
    frame = pd.DataFrame({"unique_id": cell, "ds": day, "y": panel.counts()})
    started = time.perf_counter()
    decays = [ExponentiallyWeightedMean(alpha=_alpha(days)) for days in HALF_LIVES_DAYS]
    forecast = MLForecast(
        models=[],
        freq=1,
        lag_transforms={1: [*decays, ExpandingMean(), RollingMean(window_size=WINDOW_DAYS)]},
        num_threads=2,
    )
    made = forecast.preprocess(frame, dropna=False, static_features=[])
    wanted = made[made["ds"].isin(panel.cutoffs)]
    scale = [*(1 / _alpha(days) for days in HALF_LIVES_DAYS), 1, WINDOW_DAYS]
    columns = [wanted[name].to_numpy() * by for name, by in zip(wanted.columns[3:], scale, strict=True)]
    return panel.laid_out(columns), time.perf_counter() - started


def run_pandas(panel: Panel) -> tuple[np.ndarray, float]:
    import pandas as pd

    cell, day = panel.keys()
    frame = pd.DataFrame({"cell": cell, "day": day, "count": panel.counts()})
    started = time.perf_counter()
    cells = frame.groupby("cell", sort=False)["count"]
    wanted = frame["day"].isin(panel.cutoffs - 1).to_numpy()
    columns = [
        cells.ewm(alpha=_alpha(days), adjust=False).mean().to_numpy()[wanted] / _alpha(days) for days in HALF_LIVES_DAYS
    ]
    columns.append((cells.cumsum() / (frame["day"] + 1)).to_numpy()[wanted])
    columns.append(cells.rolling(WINDOW_DAYS).sum().to_numpy()[wanted])
    return panel.laid_out(columns), time.perf_counter() - started


def _alpha(half_life_days: float) -> float:
    return float(1 - 0.5 ** (1 / half_life_days))


RUNS = {"this": run_this, "polars": run_polars, "mlforecast": run_mlforecast, "pandas": run_pandas}


@dataclass(frozen=True)
class Limits:
    """What a run may take of the machine before it is stopped."""

    seconds: float
    gib: float


def measured(name: str, panel: Panel, rows: Path, limits: Limits) -> dict[str, Any]:
    """Run one in a process of its own; say why where it does not come to its end."""
    size = [str(number) for number in (panel.cells, panel.days, panel.every_days)]
    command = [sys.executable, __file__, "--only", name, "--size", *size, "--rows", str(rows)]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as failed:
        running = subprocess.Popen(command, stdout=said, stderr=failed, env={**os.environ, **THREADS})
        until, why = time.monotonic() + limits.seconds, ""
        while running.poll() is None:
            time.sleep(0.05)
            if time.monotonic() > until:
                why = f"stopped after {limits.seconds:.0f} s"
            elif _resident_gib(running.pid) > limits.gib:
                why = f"stopped at {limits.gib:g} GiB"
            if why:
                running.kill()
                running.wait()
        said.seek(0)
        failed.seek(0)
        if running.returncode != 0:
            return {"why": why or (failed.read().strip().splitlines() or ["killed by the system"])[-1]}
        return dict(json.loads(said.read().splitlines()[-1]))


def _resident_gib(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return 0.0
    return pages * resource.getpagesize() / 2**30


def compare(panel: Panel, names: list[str], folder: Path, limits: Limits, *, rounds: int) -> dict[str, dict[str, Any]]:
    """Return for each tool its median time, the median ratio of our time to its, and its peak."""
    times: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    given_up: dict[str, str] = {}
    for _ in range(rounds):
        for name in names:
            if name not in given_up:
                result = measured(name, panel, folder / f"{name}.npy", limits)
                times[name].append(result)
                if "why" in result:
                    given_up[name] = result["why"]
    if "this" in given_up:
        sys.exit(f"benchmarks/features.py: our own run failed: {given_up['this']}")
    ours = [result["seconds"] for result in times["this"]]
    found: dict[str, dict[str, Any]] = {}
    expected = np.load(folder / "this.npy", mmap_mode="r")
    for name in names:
        if name in given_up:
            found[name] = {"why": given_up[name]}
            continue
        theirs = np.load(folder / f"{name}.npy", mmap_mode="r")
        if not all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(expected, theirs, strict=True)):
            sys.exit(f"benchmarks/features.py: the features of {name} differ from ours by more than {TOLERANCE}")
        seconds = [result["seconds"] for result in times[name]]
        found[name] = {
            "seconds": statistics.median(seconds),
            "ratio": statistics.median(a / b for a, b in zip(ours, seconds, strict=True)),
            "peak_mib": max(result["peak_mib"] for result in times[name]),
        }
    return found


def show(panel: Panel, found: dict[str, dict[str, Any]]) -> None:
    """Print one panel's results as a Markdown table."""
    print(
        f"\n{panel.cells:,} cells, {panel.days:,} days, {FEATURES} features, a cutoff every {panel.every_days} days\n"
    )
    print("| | seconds | million values/s | this takes | peak MiB |\n| --- | ---: | ---: | ---: | ---: |")
    for name, result in found.items():
        if "why" in result:
            print(f"| {name} | {result['why']} | | | |")
            continue
        rate = panel.values_made / result["seconds"] / 1e6
        part = "" if name == "this" else f"1/{1 / result['ratio']:.0f} of its time"
        print(f"| {name} | {result['seconds']:.3g} | {rate:,.0f} | {part} | {result['peak_mib']:,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of the smaller panel; the larger has one for three")
    parser.add_argument("--most-seconds", type=float, default=600, help="a run that takes longer is stopped")
    parser.add_argument("--most-gib", type=float, default=10, help="a run that holds more is stopped")
    parser.add_argument("--only", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        rows, seconds = RUNS[given.only](Panel(*given.size))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        np.save(given.rows, rows)
        print(json.dumps({"seconds": seconds, "peak_mib": peak}))
        return
    names = [name for name in RUNS if name == "this" or importlib.util.find_spec(name)]
    for name in RUNS.keys() - names:
        print(f"{name} is not installed and left out: pip install {name}")
    limits = Limits(given.most_seconds, given.most_gib)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for panel, rounds in ((SMALL, given.rounds), (SMALL_DAILY, given.rounds), (LARGE, math.ceil(given.rounds / 3))):
            found[panel] = compare(panel, names, Path(folder), limits, rounds=rounds)
            show(panel, found[panel])
        longer = compare(TWICE_AS_LONG, ["this"], Path(folder), limits, rounds=1)["this"]
    print(f"\nthis, with twice the history before as many cutoffs: peak {longer['peak_mib']:,.0f} MiB")
    ratios, peaks, panels = {}, {}, {}
    for name in names:
        # the larger panel, where the peer can hold it
        panel = LARGE if "ratio" in found[LARGE][name] else SMALL
        result = found[panel][name]
        if "ratio" in result:
            panels[name] = f"{panel.cells}x{panel.days}"
            peaks[name] = round(result["peak_mib"])
            if name != "this":
                ratios[name] = round(result["ratio"], 5)
    print(json.dumps({"benchmark": "features", "ratios": ratios, "peak_mib": peaks, "panels": panels}))


if __name__ == "__main__":
    main()
