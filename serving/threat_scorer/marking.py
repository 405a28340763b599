"""The marking of a model or a bundle: its originator, the partners that may have it, and its TLP colour."""

from dataclasses import dataclass

TLP = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
"""Traffic Light Protocol 2.0, from the least to the most restrictive."""

EVERYONE = "ALL"
"""Code that stands for every partner."""


@dataclass(frozen=True)
class Marking:
    """The most restrictive marking of the data behind a model, or of the models in a bundle."""

    originator: str
    """Partner code; several, joined by ``+``, where rows of several are behind the model."""
    releasable_to: tuple[str, ...]
    """All who may have it, originators included where they may; `EVERYONE` for everybody."""
    tlp: str
    """One of `TLP`."""
