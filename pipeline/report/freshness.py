"""The canonical tables -> how fresh each source was at a cutoff; asks no clock, so the same tables say the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.storage import store

HAPPENED = {"incidents": "occurred_at", "observations": "occurred_at", "detections": "observed_at"}
"""Tables of what happened, and the column that says when; a row of `places` does not happen."""

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Freshness:
    """What of one source was known at the cutoff."""

    source: str
    table: str
    records: int
    """Records known at the cutoff, versions counted once."""
    newest_occurred: str
    """Day, UTC, of the last thing that happened and was known; of a period, its start."""
    newest_available: str
    """Day, UTC, on which the last version became known."""
    silent_days: float
    """From then until the cutoff."""
    median_delay_days: float
    """From what happened until its first report; of a period, from its start."""
    high_delay_days: float
    """The delay that nine reports of ten keep."""


def freshness(tables: Path, cutoff: np.datetime64) -> list[Freshness]:
    """Return each source's freshness, by table and source.

    Parameters
    ----------
    tables
        Folder of the canonical tables.
    cutoff
        UTC; what became known later is not looked at.
    """
    return [
        found
        for name, occurred in HAPPENED.items()
        if (file := tables / f"{name}.parquet").exists()
        for found in _of_table(file, occurred, cutoff)
    ]


def newest(tables: Path) -> np.datetime64:
    """Return when the last row of what happened became known, UTC: the cutoff of a dataset that has no other."""
    known = [
        store.read_table(file, columns=["available_at"])["available_at"].to_numpy()
        for name in HAPPENED
        if (file := tables / f"{name}.parquet").exists()
    ]
    return np.datetime64(max(times.max() for times in known if len(times)), "us")


def _of_table(file: Path, occurred: str, cutoff: np.datetime64) -> Iterator[Freshness]:
    rows = store.read_table(file, columns=["source_id", "record_id", occurred, "available_at"])
    rows = rows.filter(pa.array(rows["available_at"].to_numpy() <= cutoff))
    times = [(occurred, "min"), ("available_at", "min"), ("available_at", "max")]
    records = rows.group_by(["source_id", "record_id"]).aggregate(times)
    source = records["source_id"].to_numpy()
    happened, first, last = (records[f"{column}_{how}"].to_numpy() for column, how in times)
    for name in np.unique(source).tolist():
        ours = source == name
        delay = (first[ours] - happened[ours]) / DAY
        yield Freshness(
            source=name,
            table=file.stem,
            records=int(ours.sum()),
            newest_occurred=str(happened[ours].max().astype("datetime64[D]")),
            newest_available=str(last[ours].max().astype("datetime64[D]")),
            silent_days=float((cutoff - last[ours].max()) / DAY),
            median_delay_days=float(np.quantile(delay, 0.5)),
            high_delay_days=float(np.quantile(delay, 0.9)),
        )
