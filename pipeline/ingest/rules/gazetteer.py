"""A table of places -> the position of each place code."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.storage.versions import latest


@dataclass(frozen=True)
class Gazetteer:
    """Positions of place codes: `codes` is `string`, the others float64, all of shape (n,)."""

    codes: pa.Array
    latitude_deg: np.ndarray
    longitude_deg: np.ndarray

    @classmethod
    def of(cls, places: pa.Table) -> "Gazetteer":
        """Return the positions of places by the key of their record; the last of several versions counts."""
        places = latest(places)
        return cls(
            places.column("record_id").combine_chunks(),
            places.column("latitude_deg").to_numpy(),
            places.column("longitude_deg").to_numpy(),
        )
