"""Progress of long work -> a bar with rate and time left on a terminal, or lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")

LINE_EVERY_S = 20.0
"""Time between two lines of a log: work that takes less writes none."""


class Progress:
    """Shows how much of some work is done, on standard error.

    Examples
    --------
    >>> with Progress("parity gate", total=1_000_000, unit="row") as progress:
    ...     progress.advance(250_000)
    """

    def __init__(self, name: str, *, total: int, unit: str, file: TextIO | None = None) -> None:
        """Begin.

        Parameters
        ----------
        name
            Opens the bar and each line.
        total
            How many units there are to do.
        unit
            One of them, such as ``fit``.
        file
            Where to show it; standard error where not given.
        """
        self._name, self._total, self._unit = name, total, unit
        self._file = file or sys.stderr
        self._begun_s = self._written_s = time.monotonic()
        self._done = 0
        self._bar = None
        if self._file.isatty():
            tqdm.monitor_interval = 0  # no thread of its own that wakes to look at the bar
            self._bar = tqdm(desc=name, total=total, unit=unit, unit_scale=total >= 10_000, file=self._file)

    def __enter__(self) -> "Progress":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def advance(self, units: int = 1) -> None:
        """Count units as done; from one thread."""
        self._done += units
        if self._bar is not None:
            self._bar.update(units)
            return
        now_s = time.monotonic()
        if now_s - self._written_s >= LINE_EVERY_S:
            self._written_s = now_s
            print(self._line(now_s - self._begun_s), file=self._file, flush=True)

    def _line(self, elapsed_s: float) -> str:
        """Return ``name: 3 of 9 fits, 0.15 fits a second, 0:40 left``."""
        rate = self._done / elapsed_s
        left_s = (self._total - self._done) / rate
        return (
            f"{self._name}: {self._done:,} of {self._total:,} {self._unit}s, {rate:,.3g} {self._unit}s a second, "
            f"{tqdm.format_interval(left_s)} left"
        )


def shown(items: Iterable[T], name: str, *, total: int, unit: str) -> Iterator[T]:
    """Yield the items, and show how many have been taken: each counts once the next one is requested.

    Parameters
    ----------
    name, total, unit
        As of `Progress`.
    """
    with Progress(name, total=total, unit=unit) as progress:
        for item in items:
            yield item
            progress.advance()
