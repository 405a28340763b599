"""The log-odds that each feature adds to a score -> the strongest reasons, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan

from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.features import derived_of
from threat_scorer.scoring.float32 import Float32Array

MOST = 3
SIZES = ((1.5, " strongly"), (0.5, ""), (0.1, " slightly"))
"""Least log-odds that a reason adds, and the word for it; a smaller addition is no reason."""
PLACE = "the place"
MOST_VALUES = 2
"""Largest number of inputs whose values a reason gives; a reason of more inputs gives the group's name."""


@dataclass(frozen=True)
class _Group:
    """Features that a person would call one thing."""

    features: tuple[int, ...]
    """Their columns in the model's matrix."""
    inputs: tuple[int, ...]
    """Positions, among the contract's inputs, of the inputs that they were made from, each once."""
    name: str


class Reasons:
    """Puts a model's contributions into words.

    The features of one of the contract's groups are one reason.
    """

    def __init__(self, contract: Contract) -> None:
        self._inputs = contract.inputs
        self._groups = tuple(_groups(contract))

    def words(
        self, values: Sequence[float], contributions: Float32Array, *, place: float | None = None
    ) -> tuple[str, ...]:
        """Return at most `MOST` reasons, the strongest first.

        Parameters
        ----------
        values
            Of the inputs, in the contract's order; NaN where missing.
        contributions
            Log-odds that each feature adds to those of a typical row, shape (features,).
        place
            Log-odds that the prior of the place adds; None where the prior does not know the place.

        Examples
        --------
        >>> import numpy as np
        >>> from threat_scorer.scoring.contract import Input
        >>> from threat_scorer.marking import Marking
        >>> inputs = Input("voltage", "V", 0, 9, required=True), Input("height", "m", 0, 9, required=False)
        >>> names = ("voltage", "height")
        >>> contract = Contract("area_risk", "d", True, inputs, names, names, {}, 0.1, False, None, None,
        ...     "", "", "", Marking("a", (), "CLEAR"))
        >>> Reasons(contract).words([0.4, float("nan")], np.array([1.62, -0.3], np.float32), place=0.05)
        ('voltage 0.4 V raises it strongly (+1.6)', 'height missing lowers it slightly (-0.3)')
        """
        added = contributions.tolist()
        reasons = [(sum(added[i] for i in group.features), self._phrase(group, values)) for group in self._groups]
        if place is not None:
            reasons.append((place, PLACE))
        reasons.sort(key=lambda reason: -abs(reason[0]))
        return tuple(_sentence(phrase, size) for size, phrase in reasons[:MOST] if abs(size) >= SIZES[-1][0])

    def _phrase(self, group: _Group, values: Sequence[float]) -> str:
        if len(group.inputs) > MOST_VALUES:
            return group.name
        phrases = []
        for i in group.inputs:
            unit = "" if self._inputs[i].unit == "1" else f" {self._inputs[i].unit}"
            value = "missing" if isnan(values[i]) else f"{values[i]:.4g}{unit}"
            phrases.append(f"{self._inputs[i].name} {value}")
        return " with ".join(phrases)


def _groups(contract: Contract) -> Iterator[_Group]:
    names = [entry.name for entry in contract.inputs]
    made_from: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    for entry in derived_of(contract.model, names):
        made_from |= {feature.name: entry.needs for feature in entry.features}
    for group in dict.fromkeys(contract.groups):
        features = tuple(i for i, each in enumerate(contract.groups) if each == group)
        needs = dict.fromkeys(need for i in features for need in made_from[contract.features[i]])
        yield _Group(features, tuple(names.index(need) for need in needs), group)


def _sentence(phrase: str, size: float) -> str:
    word = next(word for least, word in SIZES if abs(size) >= least)
    return f"{phrase} {'raises' if size > 0 else 'lowers'} it{word} ({size:+.1f})"
