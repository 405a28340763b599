"""The canonical tables -> how fresh each source was at a cutoff; reads no clock: same tables, same result."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.storage import schemas
from pipeline.storage.read import open_tables, table_files
from pipeline.storage.versions import as_it_stood

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Freshness:
    """The state of one source, as known at the cutoff."""

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


def freshness(dataset: str, cutoff: np.datetime64) -> list[Freshness]:
    """Return each source's freshness by what was known at the cutoff, UTC; in the order of tables and sources."""
    return [
        of_source
        for name, occurred in _tables_of_events(dataset).items()
        for of_source in _of_table(dataset, name, occurred, cutoff)
    ]


def newest(dataset: str) -> np.datetime64:
    """Return when the last row of what happened became known, UTC: the cutoff of a dataset that has no other."""
    tables = open_tables(dataset, _tables_of_events(dataset), columns=["available_at"])
    known = [table["available_at"].to_numpy() for table in tables.values() if table.num_rows]
    return np.datetime64(max(times.max() for times in known), "us")


def _tables_of_events(dataset: str) -> dict[str, str]:
    """Return the dataset's tables of events, and the column of their time; `places` has none."""
    files = table_files(dataset)
    return {name: spec.occurred for name, spec in schemas.tables().items() if spec.occurred and name in files}


def _of_table(dataset: str, name: str, occurred: str, cutoff: np.datetime64) -> Iterator[Freshness]:
    columns = ["source_id", "record_id", occurred, "available_at", "superseded_at"]
    rows = as_it_stood(open_tables(dataset, [name], columns=columns)[name], cutoff)
    times = [(occurred, "min"), ("available_at", "min"), ("available_at", "max")]
    records = rows.group_by(["source_id", "record_id"]).aggregate(times)
    source = records["source_id"].to_numpy()
    happened, first, last = (records[f"{column}_{function}"].to_numpy() for column, function in times)
    for partner in np.unique(source).tolist():
        ours = source == partner
        delay = (first[ours] - happened[ours]) / DAY
        yield Freshness(
            source=partner,
            table=name,
            records=int(ours.sum()),
            newest_occurred=str(happened[ours].max().astype("datetime64[D]")),
            newest_available=str(last[ours].max().astype("datetime64[D]")),
            silent_days=float((cutoff - last[ours].max()) / DAY),
            median_delay_days=float(np.quantile(delay, 0.5)),
            high_delay_days=float(np.quantile(delay, 0.9)),
        )
