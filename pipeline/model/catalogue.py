"""What each feature is: written beside the rows, read by train, export and the generated documents."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from pipeline.storage.marking import Marking
from threat_scorer.scoring.features import Feature


def document(
    features: Sequence[Feature],
    *,
    linear: Collection[str],
    only_linear: Collection[str],
    marking: Marking,
    rows: dict[str, int],
) -> dict[str, Any]:
    """Return the catalogue as JSON data.

    Parameters
    ----------
    features
        In the model's order.
    linear
        Names of those that the log-linear baseline reads; none of them is ever missing.
    only_linear
        Names of those among them that the trees do not read.
    marking
        What everything derived from the rows must carry.
    rows
        Counts of what went into the rows and what could not.
    """
    return {
        "features": [
            {
                **dataclasses.asdict(feature),
                "linear": feature.name in linear,
                "trees": feature.name not in only_linear,
            }
            for feature in features
        ],
        "marking": dataclasses.asdict(marking),
        "rows": rows,
    }
