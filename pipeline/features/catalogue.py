"""What each feature is: written beside the rows, read by train, export and the generated documents."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from pipeline.marking import Marking
from threat_scorer.features import Feature


def document(
    features: Sequence[Feature], *, may_be_missing: Collection[str], marking: Marking, rows: dict[str, int]
) -> dict[str, Any]:
    """Return the catalogue as JSON data.

    Parameters
    ----------
    features
        In the model's order.
    may_be_missing
        Names of those that can be NaN; the others never are.
    marking
        What everything derived from the rows must carry.
    rows
        Counts of what went into the rows and what could not.
    """
    return {
        "features": [
            {**dataclasses.asdict(feature), "may_be_missing": feature.name in may_be_missing} for feature in features
        ],
        "marking": dataclasses.asdict(marking),
        "rows": rows,
    }
