"""A partner's rows -> the same rows and faulty copies, such as typing errors make; ingest must reject the copies."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.simulate.ground import Ground

FAULTY_SHARE = 0.004
ACROSS_M = 15_000.0
"""How far beyond the border a position is put: farther than any partner's precision."""


@dataclass(frozen=True)
class Columns:
    """The columns of a partner's file that faults change."""

    key: str
    latitude: str
    longitude: str
    date: str
    no_such_day: str
    """A day that does not exist, as this partner writes dates."""
    word: str
    """A column with the partner's own vocabulary."""


def add_faulty(
    rows: pd.DataFrame, columns: Columns, ground: Ground, random: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put faulty copies of some rows in among the rows, under keys of their own.

    Parameters
    ----------
    rows
        One partner's rows, as its file will have them.
    columns
        Names of the columns that faults change.
    ground
        Gives positions across the border.
    random
        Chooses the rows.

    Returns
    -------
    rows
        The rows and the faulty ones, which stand after the row that they are a copy of.
    faults
        raw_row (1-based, as in the file), key and fault of each faulty row.
    """
    count = max(len(FAULTS), round(FAULTY_SHARE * len(rows)))
    chosen = np.sort(random.integers(0, len(rows), count))
    copies = rows.iloc[chosen].astype(object)
    copies[columns.key] = [f"{rows[columns.key].iloc[0][0]}X{number:05d}" for number in range(count)]
    names = np.resize(np.array(FAULTS), count)
    for name in FAULTS:
        _plant(copies, names == name, name, columns, ground)
    merged = pd.concat([rows.astype(object), copies])
    order = np.argsort(np.concatenate([np.arange(len(rows)), chosen + 0.5]), kind="stable")
    at = np.empty(len(order), dtype=np.int64)
    at[order] = np.arange(1, len(order) + 1)
    faults = pd.DataFrame({"raw_row": at[len(rows) :], "key": copies[columns.key].to_numpy(), "fault": names})
    return merged.iloc[order].reset_index(drop=True), faults


FAULTS = ("swapped_coordinates", "zero_coordinates", "no_such_day", "unknown_word", "no_key", "across_border")


def _plant(copies: pd.DataFrame, mask: np.ndarray, fault: str, columns: Columns, ground: Ground) -> None:
    # by position, not by label: a row may have been copied twice
    at = np.flatnonzero(mask)
    index = {name: list(copies.columns).index(name) for name in vars(columns).values() if name in copies.columns}
    place = [index[columns.latitude], index[columns.longitude]]
    if fault == "swapped_coordinates":
        copies.iloc[at, place] = copies.iloc[at, place[::-1]].to_numpy()
    elif fault == "zero_coordinates":
        copies.iloc[at, place] = 0.0
    elif fault == "across_border":
        latitude, longitude = copies.iloc[at, place].to_numpy(dtype=np.float64).T
        moved_m = ground.across_border(ground.projection.metres(latitude, longitude), ACROSS_M)
        copies.iloc[at, place] = np.round(np.column_stack(ground.projection.degrees(moved_m)), 5)
    elif fault == "no_such_day":
        copies.iloc[at, index[columns.date]] = columns.no_such_day
    elif fault == "unknown_word":
        copies.iloc[at, index[columns.word]] = "???"
    else:
        copies.iloc[at, index[columns.key]] = None
