"""Places and incidents known before the test -> the cells of the theatre, whatever happens in the test."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.clocks import are_dated, counted_at, days
from pipeline.model.cells import Cells, locate, placed, within
from pipeline.params.datasets import Theatre
from pipeline.runtime.errors import StageError
from pipeline.storage.schemas import UTC
from pipeline.storage.versions import known_at

INHABITED = ("settlement", "town")


def cells_of(places: pa.Table, incidents: pa.Table, theatre: Theatre, *, moment: datetime) -> Cells:
    """Return the cells near inhabited places, and those of incidents, that were known at a moment.

    Parameters
    ----------
    places, incidents
        `schemas.PLACES` and `schemas.INCIDENTS`, all versions.
    theatre
        Resolution of the cells, and how near to an inhabited place they lie.
    moment
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
    (day,) = days(pa.chunked_array([pa.array([moment], UTC)]))
    before = incidents.filter(pa.array(~are_dated(incidents) | (counted_at(incidents) < day)))
    towns, events = placed(known_at(inhabited, moment)), placed(known_at(before, moment))
    resolution = theatre.h3_resolution
    near = within(*towns, distance_m=1000 * theatre.within_km, resolution=resolution)
    cells = np.union1d(near, locate(*events, resolution=resolution))
    if len(cells) == 0:
        raise StageError(
            f"features: no cells: at {moment:%Y-%m-%d} no incident with a position and no place of kind "
            f"{' or '.join(INHABITED)} is known; expected at least one"
        )
    return cells


def refuse_days_without_zone(theatre: Theatre, **tables: pa.Table) -> None:
    """Refuse reports that are dated to the day where the zone of the theatre's days is not known.

    Raises
    ------
    StageError
        The theatre has no zone, and a table has such a row.
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
