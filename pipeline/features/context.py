"""Places and cutoffs -> the ground of each cell (people, the nearest town, river or road) and the season."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.feature_set import FeatureSet
from pipeline.model.catalogue import Feature
from pipeline.model.cells import Cells, centres, index_of, locate, nearest_m, placed, resolution_of
from pipeline.runtime import portable_math
from pipeline.storage.versions import changes, known_at

Floats = npt.NDArray[np.float64]

NEAREST = ("settlement", "town", "river", "road", "border")
YEAR_DAYS = 365.25


def calendar(cutoffs: Floats, *, cells: int) -> FeatureSet:
    """Return the season of each cutoff, days since 1970, as a point on the circle of the year."""
    features = [
        Feature(
            f"season_{name}",
            "1",
            f"{name} of the cutoff's part of the year",
            "calendar",
            group="season",
            statistic="season",
        )
        for name in ("sine", "cosine")
    ]
    angles = 2 * np.pi * cutoffs / YEAR_DAYS  # days since 1970-01-01: the phase stays within a day of the calendar
    circle = zip(*portable_math.direction(angles), strict=True)
    return FeatureSet(features, (np.tile([sine, cosine], (cells, 1)) for cosine, sine in circle))


def ground(places: pa.Table, cells: Cells, cutoffs: npt.NDArray[np.datetime64]) -> FeatureSet:
    """Return what is known of each cell's ground at each cutoff, computed anew only where the knowledge changes.

    Parameters
    ----------
    places
        `schemas.PLACES`, all versions; each kind that occurs gives a feature.
    cells
        Sorted, shape (cells,).
    cutoffs
        Ascending, UTC, shape (t,).
    """
    kinds = set(pc.unique(places["kind"]).to_pylist())
    nearest = [kind for kind in NEAREST if kind in kinds]
    features = [_distance(kind) for kind in nearest]
    if "population" in kinds:
        features.append(_POPULATION)
    changed_at = np.array([moment.replace(tzinfo=None) for moment in changes(places)], dtype="datetime64[us]")

    def values() -> Iterator[Floats]:
        version, known = -1, np.empty((len(cells), 0))
        for cutoff in cutoffs:
            newest = int(np.searchsorted(changed_at, cutoff, side="right"))
            if newest != version:
                moment = cutoff.astype(object).replace(tzinfo=UTC)
                columns = [_distance_m(places, kind, cells, moment) for kind in nearest]
                if "population" in kinds:
                    columns.append(portable_math.log1p(_population(places, cells, moment)))
                version, known = newest, np.column_stack([np.empty((len(cells), 0)), *columns])
            yield known

    return FeatureSet(features, values())


def _distance(kind: str) -> Feature:
    meaning = f"from the cell's centre to the nearest {kind}"
    return Feature(f"{kind}_distance_m", "m", meaning, "places", group=kind, statistic="distance")


_POPULATION = Feature(
    "population_log1p", "log1p(persons)", "persons counted in the cell", "places", group="population", statistic="count"
)


def _distance_m(places: pa.Table, kind: str, cells: Cells, moment: datetime) -> Floats:
    """Return the distance to the nearest place of a kind known at a moment; NaN where none is known."""
    to = placed(known_at(places.filter(pc.equal(places["kind"], kind)), moment))
    distance = nearest_m(*centres(cells), *to)
    return np.where(np.isfinite(distance), distance, np.nan)


def _population(places: pa.Table, cells: Cells, moment: datetime) -> Floats:
    counted = known_at(places.filter(pc.equal(places["kind"], "population")), moment)
    counted = counted.filter(pc.is_valid(counted["value"]))
    at = locate(*placed(counted), resolution=resolution_of(cells))
    if len(at) == 0:
        return np.full(len(cells), np.nan)
    cell, inside = index_of(at, cells)
    persons = counted.filter(pc.is_valid(counted["latitude_deg"]))["value"].to_numpy()[inside]
    return np.asarray(np.bincount(cell[inside], weights=persons, minlength=len(cells)), dtype=np.float64)
