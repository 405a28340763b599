"""Places -> what is known of the ground of each cell: people, and how far the nearest town, river or road is."""

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.theatre import known_positions
from pipeline.model.cells import Cells, centres, index_of, locate, nearest_m, resolution_of
from pipeline.runtime import portable_math
from pipeline.storage.versions import known_at
from threat_scorer.scoring.features import Feature

Floats = npt.NDArray[np.float64]

NEAREST = ("settlement", "town", "river", "road", "border")


def describe(places: pa.Table) -> list[Feature]:
    """Return the features that the kinds of place in the table give, in order."""
    kinds = set(pc.unique(places["kind"]).to_pylist())
    found = [
        Feature(f"{kind}_distance_m", "m", f"from the cell's centre to the nearest {kind}", "places")
        for kind in NEAREST
        if kind in kinds
    ]
    if "population" in kinds:
        found.append(Feature("population_log1p", "log1p(persons)", "persons counted in the cell", "places"))
    return found


def columns(places: pa.Table, cells: Cells, moment: datetime) -> Floats:
    """Return the features of `describe` as known at a moment, shape (cells, features); NaN where nothing is known."""
    latitude, longitude = centres(cells)
    result = []
    for feature in describe(places):
        if feature.name == "population_log1p":
            result.append(portable_math.log1p(_population(places, cells, moment)))
        else:
            kind = feature.name.removesuffix("_distance_m")
            to = known_positions(places.filter(pc.equal(places["kind"], kind)), moment)
            distance = nearest_m(latitude, longitude, *to)
            result.append(np.where(np.isfinite(distance), distance, np.nan))
    return np.column_stack(result) if result else np.empty((len(cells), 0))


def _population(places: pa.Table, cells: Cells, moment: datetime) -> Floats:
    counted = known_at(places.filter(pc.equal(places["kind"], "population")), moment)
    counted = counted.filter(pc.and_(pc.is_valid(counted["latitude_deg"]), pc.is_valid(counted["value"])))
    if counted.num_rows == 0:
        return np.full(len(cells), np.nan)
    at = locate(
        counted["latitude_deg"].to_numpy(), counted["longitude_deg"].to_numpy(), resolution=resolution_of(cells)
    )
    cell, inside = index_of(at, cells)
    persons = counted["value"].to_numpy()[inside]
    return np.asarray(np.bincount(cell[inside], weights=persons, minlength=len(cells)), dtype=np.float64)
