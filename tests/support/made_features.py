"""Features as a catalogue describes them, where a test needs a few columns only."""

from typing import Any

from pipeline.model.catalogue import Feature


def feature(name: str, *, unit: str = "1", **more: Any) -> Feature:
    """Return a feature that is measured, and a group of its own, unless told."""
    return Feature(name, unit, f"the {name}", "test", **{"group": name, "statistic": "measured", **more})
