"""Features that are computed together: what each is, and their values at one cutoff after another."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.model.catalogue import Feature


@dataclass(frozen=True)
class FeatureSet:
    """Features and their values."""

    features: list[Feature]
    values: Iterator[npt.NDArray[np.float64]]
    """At each cutoff: float64, shape (cells, len(features)); used up by the first reader."""
