"""Measured inputs -> the float32 matrix that a model reads: one function for training and for the field.

Derived features are computed in float64, by operations that IEEE 754 rounds alike on every processor (see `formulas`).
Then they are cast to float32: a laptop and a small ARM board compute the same bits.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from threat_scorer.scoring.float32 import FeatureError, Float32Array, to_float32
from threat_scorer.scoring.formulas import (
    BAND_INTERVALS,
    SPLINE_INTERVALS,
    SPLINES,
    band_hats,
    emi_polar,
    voltage_dipole_compensated,
    voltage_splines,
    window_shape,
)
from threat_scorer.scoring.kinds import kind_of


@dataclass(frozen=True)
class Feature:
    """One column of a model's matrix."""

    name: str
    unit: str
    meaning: str
    source: str
    """``measured``, or where the formula comes from."""


@dataclass(frozen=True)
class Derived:
    """Features computed together from inputs; they exist where all the inputs that they need are declared."""

    group: str
    """What people call the features together."""
    features: tuple[Feature, ...]
    needs: tuple[str, ...]
    compute: Callable[..., Sequence[Any]]
    """Takes the needed inputs in order, as float64 arrays or plain floats, and returns one such for each feature.

    NaN in gives NaN out.
    """
    is_basis: bool = False
    """Whether the features mean something only as a weighted sum: a log-linear model reads them, trees do not."""


def assemble(model: str, columns: Mapping[str, npt.ArrayLike]) -> tuple[tuple[str, ...], Float32Array]:
    """Build a model's matrix from its inputs.

    Parameters
    ----------
    model
        Of kind ``area_risk`` (its inputs are its features) or ``sensor_threat`` (derived features follow the inputs).
    columns
        Every input that the model's contract declares, in the contract's order, each of n values; NaN or None
        where an optional one is missing.

    Returns
    -------
    names : tuple of str, length f
        The features in the matrix's order; the same for the same input names, whatever their values.
    matrix : ndarray of float32, shape (n, f)
        C-contiguous.

    Raises
    ------
    FeatureError
        See `to_float32`; or the columns differ in length, or there are none.

    Examples
    --------
    >>> names, matrix = assemble("sensor_threat", {"voltage": [0.5], "height": [1.0]})
    >>> names[:3]
    ('voltage', 'height', 'voltage_dipole_compensated')
    >>> matrix[:, :3]
    array([[0.5, 1. , 4. ]], dtype=float32)
    """
    inputs = {name: to_float32(name, values) for name, values in columns.items()}
    lengths = {name: len(column) for name, column in inputs.items()}
    if len(set(lengths.values())) != 1:
        raise FeatureError(f"columns: got lengths {lengths}; expected at least one column, all equally long")
    derived = derived_of(model, inputs)
    names = (*inputs, *_names(derived))
    matrix = np.empty((next(iter(lengths.values())), len(names)), dtype=np.float32)
    for index, column in enumerate(inputs.values()):
        matrix[:, index] = column
    with np.errstate(over="ignore"):  # what float32 cannot hold is larger than any threshold: infinite
        columns_of = (entry.compute(*(inputs[name].astype(np.float64) for name in entry.needs)) for entry in derived)
        for index, column in enumerate(chain.from_iterable(columns_of), start=len(inputs)):
            matrix[:, index] = column
    return names, matrix


class RowAssembler:
    """`assemble` for one row of given inputs: the same bits, without the cost of arrays.

    Parameters
    ----------
    model, inputs
        As for `assemble`: the model, and the names of its inputs in order.
    """

    def __init__(self, model: str, inputs: Sequence[str]) -> None:
        derived = derived_of(model, inputs)
        self.names = (*inputs, *_names(derived))
        self._inputs = len(inputs)
        self._derived = [(entry.compute, [inputs.index(name) for name in entry.needs]) for entry in derived]

    def __call__(self, values: Sequence[float], row: Float32Array) -> None:
        """Fill `row`, float32 of shape (f,), from the inputs' values, each NaN or within float32's range."""
        row[: self._inputs] = values
        if self._derived:
            rounded = row[: self._inputs].tolist()
            derived: list[float] = []
            for compute, needs in self._derived:
                derived += compute(*[rounded[index] for index in needs])
            with np.errstate(over="ignore"):  # as in `assemble`
                row[self._inputs :] = derived


def groups_of(model: str, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the group of each column of `assemble`, in order: an input's own name, or that of what is derived.

    Examples
    --------
    >>> groups_of("sensor_threat", ["voltage", "height"])[:4]
    ('voltage', 'height', 'voltage with height', 'voltage with height')
    """
    return (*inputs, *(entry.group for entry in derived_of(model, inputs) for _ in entry.features))


def derived_of(model: str, inputs: Iterable[str]) -> tuple[Derived, ...]:
    """Return the derived features that the inputs allow, in order."""
    try:
        table = DERIVED[kind_of(model)]
    except KeyError:
        raise FeatureError(f"model: got {model!r}; expected one of {', '.join(DERIVED)}") from None
    known = set(inputs)
    return tuple(entry for entry in table if known.issuperset(entry.needs))


def _names(derived: Iterable[Derived]) -> Iterator[str]:
    return (feature.name for entry in derived for feature in entry.features)


def _spline_features() -> tuple[Feature, ...]:
    names = [f"voltage_spline_{n}" for n in range(SPLINES)]
    source = "quadratic B-spline, de Boor 1978; varying coefficients, Hastie and Tibshirani 1993"
    peaks = [f"{(n - 0.5) / SPLINE_INTERVALS:g}" for n in range(SPLINES)]
    return (
        *(
            Feature(name, "1", f"B-spline of the voltage around {at}", source)
            for name, at in zip(names, peaks, strict=True)
        ),
        *(Feature(f"{name}_by_height", "1", f"{name} times height", source) for name in names),
    )


BANDS = tuple(f"band_{n:02}" for n in range(1, 61))
"""Inputs of a sonar: energy in bands of rising frequency."""


def _hat_features() -> tuple[Feature, ...]:
    source = "linear B-spline, de Boor 1978"
    return tuple(
        Feature(f"{band}_hat_{knot}", "1", f"B-spline of the energy of band {band[-2:]} around {knot / 3:.2g}", source)
        for band in BANDS
        for knot in range(BAND_INTERVALS + 1)
    )


DERIVED: dict[str, tuple[Derived, ...]] = {
    "area_risk": (),
    "sensor_threat": (
        Derived(
            "voltage with height",
            (
                Feature(
                    "voltage_dipole_compensated",
                    "1",
                    "voltage times the cube of the distance to one full scale of height under the soil",
                    "dipole field, Jackson 1999, 5.6",
                ),
            ),
            ("voltage", "height"),
            voltage_dipole_compensated,
        ),
        Derived("voltage with height", _spline_features(), ("voltage", "height"), voltage_splines, is_basis=True),
        Derived(
            "EMI response",
            (
                Feature("emi_amplitude", "1", "modulus of the complex EMI response", "definition of the modulus"),
                Feature(
                    "emi_in_phase_share", "1", "cosine of the EMI response's phase", "Won, Keiswetter and Bell 2001"
                ),
            ),
            ("emi_in_phase", "emi_quadrature"),
            emi_polar,
        ),
        Derived(
            "bands",
            (
                Feature("band_energy", "1", "mean energy over the bands", "definition of the mean"),
                Feature("band_centroid", "1", "where the energy lies in the bands, 0 to 1", "centroid, Peeters 2004"),
                Feature("band_spread", "1", "how far the energy spreads around that", "spread, Peeters 2004"),
            ),
            BANDS,
            window_shape,
        ),
        Derived("bands", _hat_features(), BANDS, band_hats, is_basis=True),
    ),
}
"""Derived features by model, in the order in which they follow the inputs."""
