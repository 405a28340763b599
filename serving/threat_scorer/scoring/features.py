"""Measured inputs -> the float32 matrix that a model reads: one function for training and for the field.

Every derived feature is computed in float64 by operations that IEEE 754 rounds alike on every processor (see
`formulas`), and only then cast to float32: a laptop and a small ARM board compute the same bits.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

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

Float32Array: TypeAlias = npt.NDArray[np.float32]

LARGEST_INTEGER = 2**24
"""Up to here float32 holds every integer; above it, identifiers and epochs would run together."""


class FeatureError(ValueError):
    """A value that cannot be a feature; the message names the feature, the row, what was got and expected."""


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

    features: tuple[Feature, ...]
    needs: tuple[str, ...]
    compute: Callable[..., Sequence[Any]]
    """Takes the needed inputs in order, as float64 arrays or plain floats, and returns one such for each feature.

    NaN in gives NaN out.
    """
    is_basis: bool = False
    """Whether only weighted sums of them mean something: a log-linear model reads such features, trees do not."""


def to_float32(name: str, values: npt.ArrayLike) -> Float32Array:
    """Cast one column to float32, the contract of every feature, or refuse it.

    Parameters
    ----------
    name
        The column's name, for the message.
    values
        One-dimensional: numbers, with NaN, None or a mask where the value is missing.

    Returns
    -------
    ndarray of float32, shape (n,)
        Finite, or NaN where missing.

    Raises
    ------
    FeatureError
        A value is a truth value, text or date; is infinite; is too large for float32; or is an integer above
        ``LARGEST_INTEGER``, which float32 would merge with its neighbours.

    Examples
    --------
    >>> to_float32("voltage", [0.5, None])
    array([0.5, nan], dtype=float32)
    """
    values = unmasked(values)
    # a list is read value by value: numpy would turn [True, 0.5] into numbers without a word
    column = np.asarray(values) if hasattr(values, "__array__") else _plain(name, values)
    if column.ndim != 1:
        raise FeatureError(f"{name}: got shape {column.shape}; expected one dimension")
    if column.dtype.kind == "O":
        column = _plain(name, column)
    if column.dtype.kind not in "iuf":
        raise FeatureError(f"{name}: got {column.dtype} values; expected numbers")
    if column.dtype.kind in "iu":
        _refuse(name, column, (column > LARGEST_INTEGER) | (column < -LARGEST_INTEGER), _TOO_LARGE_INTEGER)
    with np.errstate(over="ignore"):
        cast = column.astype(np.float32)
    _refuse(name, column, np.isinf(cast), "expected a finite number that float32 can hold")
    return cast


def unmasked(values: npt.ArrayLike) -> Any:
    """Return values without a mask: what numpy masks is None, as whatever lies under the mask was never measured.

    Examples
    --------
    >>> unmasked(np.ma.array([1.0, 2.0], mask=[True, False]))
    array([None, 2.0], dtype=object)
    """
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.is_masked(values):
            return values.data
        plain = values.data.astype(object)
        plain[np.ma.getmaskarray(values)] = None
        return plain
    if isinstance(values, list | tuple) and any(value is np.ma.masked for value in values):
        return [None if value is np.ma.masked else value for value in values]
    return values


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
            found: list[float] = []
            for compute, needs in self._derived:
                found += compute(*[rounded[index] for index in needs])
            with np.errstate(over="ignore"):  # as in `assemble`
                row[self._inputs :] = found


def catalogue(model: str, measured: Sequence[Feature]) -> tuple[Feature, ...]:
    """Return what each column of `assemble` is, in order, given what the measured inputs are.

    Examples
    --------
    >>> volt = Feature("voltage", "1", "output over full scale", "measured")
    >>> height = Feature("height", "1", "height over the soil over its largest", "measured")
    >>> [feature.name for feature in catalogue("sensor_threat", [volt, height])][:4]
    ['voltage', 'height', 'voltage_dipole_compensated', 'voltage_spline_0']
    """
    derived = derived_of(model, [feature.name for feature in measured])
    return (*measured, *(feature for entry in derived for feature in entry.features))


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


_TOO_LARGE_INTEGER = f"expected integers within +-{LARGEST_INTEGER}, above which float32 merges neighbours"


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
        Derived(_spline_features(), ("voltage", "height"), voltage_splines, is_basis=True),
        Derived(
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
            (
                Feature("band_energy", "1", "mean energy over the bands", "definition of the mean"),
                Feature("band_centroid", "1", "where the energy lies in the bands, 0 to 1", "centroid, Peeters 2004"),
                Feature("band_spread", "1", "how far the energy spreads around that", "spread, Peeters 2004"),
            ),
            BANDS,
            window_shape,
        ),
        Derived(_hat_features(), BANDS, band_hats, is_basis=True),
    ),
}
"""Derived features by model, in the order in which they follow the inputs."""


def _plain(name: str, values: Any) -> npt.NDArray[np.float64]:
    """Python values -> float64; None is NaN, and a truth value among the numbers is seen."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise FeatureError(f"{name}: got {values!r}; expected a sequence of numbers")
    column = []
    for row, value in enumerate(values):
        if value is None:
            column.append(np.nan)
        elif isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise FeatureError(f"{name}: row {row} = {value!r}; expected a number, or None where missing")
        elif isinstance(value, int | np.integer) and abs(int(value)) > LARGEST_INTEGER:
            raise FeatureError(f"{name}: row {row} = {value!r}; {_TOO_LARGE_INTEGER}")
        else:
            column.append(float(value))
    return np.array(column, dtype=np.float64)


def _refuse(name: str, column: npt.NDArray[Any], bad: npt.NDArray[np.bool_], expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise FeatureError(f"{name}: row {row} = {column[row]}; {expected}")
