"""A record from its sender -> the fields of the delivered record that do not come from the model."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from threat_scorer.run.clock import Moment, iso, parse_iso

LONGEST_ID = 256
AHEAD_S = 300.0
"""An observation from further ahead than this was stamped by a clock that is wrong."""

POSITION = (("latitude_deg", -90, 90), ("longitude_deg", -180, 180), ("error_m", 0, 1_000_000))
"""Keys of a record for its position (WGS-84), with their limits; the last one may be missing."""

LIKELIHOOD_BOUNDS = (0.05, 0.20, 0.45, 0.55, 0.80, 0.95)
LIKELIHOOD_WORDS = (
    "almost no chance",
    "very unlikely",
    "unlikely",
    "roughly even chance",
    "likely",
    "very likely",
    "almost certain",
)


def likelihood(probability: float) -> str:
    """Return the estimative words for a probability (MISP estimative-language, lower bounds 0/5/20/45/55/80/95 %).

    >>> likelihood(0.55), likelihood(0.04)
    ('likely', 'almost no chance')
    """
    return LIKELIHOOD_WORDS[bisect_right(LIKELIHOOD_BOUNDS, probability)]


def observed_at(record: Mapping[str, Any], moment: Moment) -> tuple[str | None, bool]:
    """Return when the record was observed, and whether that is doubtful.

    A wrong timestamp costs no score: it is replaced by None.
    """
    given = record.get("observed_at")
    if given is None:
        return None, False
    try:
        at = parse_iso(given)
        return iso(at), at > moment.at + AHEAD_S
    except (TypeError, ValueError, OverflowError):
        return None, True


def position_fields(record: Mapping[str, Any], default: Mapping[str, float] | None) -> dict[str, Any]:
    """Return the position of the record, or of the device as `default`, or why the record's cannot be right.

    A wrong position costs no score.
    """
    if "latitude_deg" not in record and "longitude_deg" not in record:
        return {"position": default} if default else {}
    position = {}
    for name, low, high in POSITION:
        value = record.get(name)
        if value is None and name == "error_m":
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            return {"position_doubt": f"{name}: not within {low} to {high}"}
        position[name] = value
    return {"position": position}


def time_doubt(uncertain: bool) -> dict[str, bool]:
    """Return the field that marks a doubtful time; nothing where there is no doubt."""
    return {"time_uncertain": True} if uncertain else {}


def safe_id(value: object) -> str | int | None:
    """Return an id that receivers can store: text cut to `LONGEST_ID`, or an integer of 64 bits; else None."""
    if type(value) is str:
        return value[:LONGEST_ID]
    return value if type(value) is int and abs(value) < 2**63 else None
