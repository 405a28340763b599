"""Places and incidents known before the test -> the cells of the theatre; no event of the test chooses a cell."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.events import are_dated, days, moments
from pipeline.model.cells import Cells, locate, within
from pipeline.params import Theatre
from pipeline.runtime.errors import StageError
from pipeline.storage import versions

INHABITED = ("settlement", "town")


def cells_of(places: pa.Table, incidents: pa.Table, theatre: Theatre, *, known_at: datetime) -> Cells:
    """Return the cells near inhabited places, and those of incidents, that were known at a moment.

    Parameters
    ----------
    places, incidents
        `tables.PLACES` and `tables.INCIDENTS`.
    known_at
        Start of the test: what became known later changes nothing, nor does what happened later.

    Returns
    -------
    ndarray of uint64, shape (n,)
        Sorted, each once.

    Raises
    ------
    StageError
        Neither a place nor an incident is known.
    """
    inhabited = places.filter(pc.is_in(places["kind"], value_set=pa.array(INHABITED)))
    (moment,) = days(pa.chunked_array([pa.array([known_at], pa.timestamp("us", "UTC"))]))
    before = incidents.filter(pa.array(~are_dated(incidents) | (moments(incidents) < moment)))
    towns, events = known_positions(inhabited, known_at), known_positions(before, known_at)
    resolution = theatre.h3_resolution
    near = within(*towns, distance_m=1000 * theatre.within_km, resolution=resolution)
    cells = np.union1d(near, locate(*events, resolution=resolution))
    if len(cells) == 0:
        raise StageError(
            f"features: no cells: at {known_at:%Y-%m-%d} no incident with a position and no place of kind "
            f"{' or '.join(INHABITED)} is known; expected at least one"
        )
    return cells


def refuse_days_without_zone(theatre: Theatre, **tables: pa.Table) -> None:
    """Refuse reports that are dated to the day where nobody says whose days the theatre lives by.

    Raises
    ------
    StageError
        The theatre has no zone, and one of the tables such a row.
    """
    if theatre.zone is not None:
        return
    for name, rows in tables.items():
        dated = rows.filter(pc.equal(rows["occurred_precision"], "day"))
        if dated.num_rows:
            source, record = (dated[column][0].as_py() for column in ("source_id", "record_id"))
            raise StageError(
                f"features: params.yaml: theatre.zone is not set, and {dated.num_rows} of {rows.num_rows} {name} are "
                f"dated to the day (the first: {source}, record {record}); expected the IANA zone in which the "
                "theatre's days begin, such as `zone: Asia/Baghdad`"
            )


def known_positions(rows: pa.Table, moment: datetime) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude, degrees, of the rows that were known at a moment and have a position."""
    known = versions.known_at(rows, moment)
    placed = known.filter(pc.is_valid(known["latitude_deg"]))
    return placed["latitude_deg"].to_numpy(), placed["longitude_deg"].to_numpy()
