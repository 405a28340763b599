"""Measured inputs -> the float32 matrix that a model reads: one function for training and for the field.

Every derived feature is made of + - * / and square roots in float64, which IEEE 754 rounds alike on every
processor, and only then cast to float32: a laptop and a small ARM board compute the same bits.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Float32Array: TypeAlias = npt.NDArray[np.float32]
Number = TypeVar("Number", float, npt.NDArray[np.float64])

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
    """A feature computed from inputs; it exists where all the inputs that it needs are declared."""

    feature: Feature
    needs: tuple[str, ...]
    compute: Callable[..., Any]
    """Takes the needed inputs in order, as float64 arrays or plain floats; NaN in gives NaN out."""


def to_float32(name: str, values: npt.ArrayLike) -> Float32Array:
    """Cast one column to float32, the contract of every feature, or refuse it.

    Parameters
    ----------
    name
        The column's name, for the message.
    values
        One-dimensional: numbers, with NaN or None where the value is missing.

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
    # a list is read value by value: numpy would turn [True, 0.5] into numbers without a word
    column = np.asarray(values) if hasattr(values, "__array__") else _plain(name, values)
    if column.dtype.kind == "O":
        column = _plain(name, column)
    if column.ndim != 1:
        raise FeatureError(f"{name}: got shape {column.shape}; expected one dimension")
    if column.dtype.kind not in "iuf":
        raise FeatureError(f"{name}: got {column.dtype} values; expected numbers")
    if column.dtype.kind in "iu":
        _refuse(name, column, (column > LARGEST_INTEGER) | (column < -LARGEST_INTEGER), _TOO_LARGE_INTEGER)
    with np.errstate(over="ignore"):
        cast = column.astype(np.float32)
    _refuse(name, column, np.isinf(cast), "expected a finite number that float32 can hold")
    return cast


def assemble(model: str, columns: Mapping[str, npt.ArrayLike]) -> tuple[tuple[str, ...], Float32Array]:
    """Build a model's matrix from its inputs.

    Parameters
    ----------
    model
        ``area_risk`` (its inputs are its features) or ``sensor_threat`` (derived features follow the inputs).
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
    >>> names
    ('voltage', 'height', 'voltage_dipole_compensated')
    >>> matrix
    array([[0.5, 1. , 4. ]], dtype=float32)
    """
    inputs = {name: to_float32(name, values) for name, values in columns.items()}
    lengths = {name: len(column) for name, column in inputs.items()}
    if len(set(lengths.values())) != 1:
        raise FeatureError(f"columns: got lengths {lengths}; expected at least one column, all equally long")
    derived = derived_of(model, inputs)
    names = (*inputs, *(entry.feature.name for entry in derived))
    matrix = np.empty((next(iter(lengths.values())), len(names)), dtype=np.float32)
    for index, column in enumerate(inputs.values()):
        matrix[:, index] = column
    with np.errstate(over="ignore"):  # what float32 cannot hold is larger than any threshold: infinite
        for index, entry in enumerate(derived, start=len(inputs)):
            matrix[:, index] = entry.compute(*(inputs[name].astype(np.float64) for name in entry.needs))
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
        self.names = (*inputs, *(entry.feature.name for entry in derived))
        self._inputs = len(inputs)
        self._derived = [(entry.compute, [inputs.index(name) for name in entry.needs]) for entry in derived]

    def __call__(self, values: Sequence[float], row: Float32Array) -> None:
        """Fill `row`, float32 of shape (f,), from the inputs' values, each NaN or within float32's range."""
        row[: self._inputs] = values
        if self._derived:
            rounded = row[: self._inputs].tolist()
            for column, (compute, needs) in enumerate(self._derived, start=self._inputs):
                value = compute(*[rounded[index] for index in needs])
                # what float32 cannot hold is infinite, as in `assemble`; numpy would warn, at a cost
                row[column] = math.copysign(math.inf, value) if abs(value) >= _ROUNDS_TO_INFINITY else value


def catalogue(model: str, measured: Sequence[Feature]) -> tuple[Feature, ...]:
    """Return what each column of `assemble` is, in order, given what the measured inputs are.

    Examples
    --------
    >>> volt = Feature("voltage", "1", "output over full scale", "measured")
    >>> height = Feature("height", "1", "height over the soil over its largest", "measured")
    >>> [feature.name for feature in catalogue("sensor_threat", [volt, height])]
    ['voltage', 'height', 'voltage_dipole_compensated']
    """
    derived = derived_of(model, [feature.name for feature in measured])
    return (*measured, *(entry.feature for entry in derived))


def derived_of(model: str, inputs: Iterable[str]) -> tuple[Derived, ...]:
    """Return the derived features that the inputs allow, in order."""
    try:
        table = DERIVED[model]
    except KeyError:
        raise FeatureError(f"model: got {model!r}; expected one of {', '.join(DERIVED)}") from None
    known = set(inputs)
    return tuple(entry for entry in table if known.issuperset(entry.needs))


def voltage_dipole_compensated(voltage: Number, height: Number) -> Number:
    """Return the voltage with the fall of a dipole's field over height taken out: voltage * r^3.

    The static field of a magnetic dipole falls with the cube of the distance (Jackson, Classical
    Electrodynamics, 3rd ed. 1999, section 5.6). The burial depth is not known: r counts from one full scale of
    height under the soil.
    """
    distance = 1.0 + height
    return voltage * (distance * distance * distance)


def emi_amplitude(in_phase: Number, quadrature: Number) -> Number:
    """Return the modulus of the complex response, whatever its phase."""
    return _square_root(in_phase * in_phase + quadrature * quadrature)


def emi_in_phase_share(in_phase: Number, quadrature: Number) -> Number:
    """Return the cosine of the response's phase, which helps to tell metals apart.

    Phase, unlike amplitude, hardly changes with distance (Won, Keiswetter and Bell, IEEE Transactions on
    Geoscience and Remote Sensing 39(4), 2001). No response gives 0.
    """
    return in_phase / (emi_amplitude(in_phase, quadrature) + _NO_RESPONSE)


def _square_root(value: Number) -> Number:
    # both are rounded exactly; on a plain float numpy's is ten times slower
    root: Number = math.sqrt(value) if isinstance(value, float) else np.sqrt(value)
    return root


_NO_RESPONSE = 1e-12
_ROUNDS_TO_INFINITY = float.fromhex("0x1.ffffffp127")
_TOO_LARGE_INTEGER = f"expected integers within +-{LARGEST_INTEGER}, above which float32 merges neighbours"

DERIVED: dict[str, tuple[Derived, ...]] = {
    "area_risk": (),
    "sensor_threat": (
        Derived(
            Feature(
                "voltage_dipole_compensated",
                "1",
                "voltage times the cube of the distance to one full scale of height under the soil",
                "dipole field, Jackson 1999, 5.6",
            ),
            ("voltage", "height"),
            voltage_dipole_compensated,
        ),
        Derived(
            Feature("emi_amplitude", "1", "modulus of the complex EMI response", "definition of the modulus"),
            ("emi_in_phase", "emi_quadrature"),
            emi_amplitude,
        ),
        Derived(
            Feature(
                "emi_in_phase_share",
                "1",
                "cosine of the EMI response's phase",
                "Won, Keiswetter and Bell 2001",
            ),
            ("emi_in_phase", "emi_quadrature"),
            emi_in_phase_share,
        ),
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
