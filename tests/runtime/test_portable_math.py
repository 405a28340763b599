"""Functions that promise the same bits everywhere: their errors, against decimal arithmetic and the C library's."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime import portable_math

NEAR_QUARTER_TURNS = [n * math.pi / 2 for n in range(-40, 41)] + [4000 * math.pi / 2, 40_000 * math.pi / 2]
ODD = [0.0, -0.0, 1.0, -1.0, 5e-324, 2.3e-308, 1e-17, -1e-17, 1e300, math.inf, -math.inf, math.nan]


def draws(low: float, high: float, *more: float, count: int = 400) -> np.ndarray:
    random = np.random.default_rng(1)
    around_0 = np.exp(random.uniform(-60, -1, count)) * random.choice([-1, 1], count)
    values = np.concatenate([random.uniform(low, high, count), random.normal(0, 1, count), around_0, more])
    return values[(values >= low) & (values <= high)]


def ulps(got: float, expected: Decimal) -> float:
    """Return by how many units in the last place a result is off."""
    return float(abs(Decimal(got) - expected) / Decimal(math.ulp(float(expected))))


def sine(x: Decimal) -> Decimal:
    term = total = x
    for n in range(1, 200):
        term *= -x * x / (2 * n * (2 * n + 1))
        total += term
        if abs(term) < abs(total) * Decimal("1e-40"):
            return total
    raise AssertionError(x)


EXACT: dict[str, tuple[Callable[[Decimal], Decimal], np.ndarray]] = {
    "exp": (Decimal.exp, draws(-744, 709, -745.0, 709.78)),
    "expm1": (lambda x: x.exp() - 1, draws(-50, 700, 0.34657, -0.34658, 0.7, 1.04, 13.9)),
    "halved": (lambda x: (-x * Decimal(2).ln()).exp(), draws(-1000, 1070)),
    "log": (Decimal.ln, draws(5e-324, 1e6, 5e-324, 1e-310, 0.7071, 1.4142, 1.0 + 2**-52)),
    "log1p": (lambda x: (1 + x).ln(), draws(-1 + 2**-53, 1e6, -1 + 2**-53, 1e300, *range(200))),
    "sin": (sine, draws(-6.5, 6.5, *NEAR_QUARTER_TURNS[30:50])),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_result_is_off_by_less_than_the_last_place(name: str) -> None:
    true, values = EXACT[name]
    got = getattr(portable_math, name)(values)
    with localcontext() as context:
        context.prec = 400 if name == "expm1" or name == "log1p" else 80
        off = [ulps(g, true(Decimal(x))) for g, x in zip(got.tolist(), values.tolist(), strict=True) if x != 0]
    assert max(off) < 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *((name, draws(-10_000, 10_000, *NEAR_QUARTER_TURNS)) for name in ("sin", "cos")),
        *((name, draws(-700, 700)) for name in ("exp", "expm1")),
        *((name, draws(1e-300, 1e300)) for name in ("log", "log1p")),
        ("arcsin", draws(-1, 1, -1, 1)),
    ],
)
def test_a_result_lies_next_to_the_c_librarys(name: str, values: np.ndarray) -> None:
    assert values.size
    got, expected = getattr(portable_math, name)(values), getattr(np, name)(values)
    assert (np.abs(got - expected) <= (4 if name == "arcsin" else 2) * np.spacing(np.abs(expected))).all()


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_the_angle_of_a_point_lies_next_to_the_c_librarys(y: float, x: float) -> None:
    expected = math.atan2(y, x)
    if x == 0 or y == 0 or abs(y / x) > 1e-300:
        assert abs(portable_math.arctan2(y, x) - expected) <= 3 * math.ulp(expected)


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p"])
def test_odd_numbers_give_what_numpy_gives_without_a_warning(name: str) -> None:
    got = getattr(portable_math, name)(ODD)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got, getattr(np, name)(ODD), rtol=1e-15, atol=0)


def test_a_number_gives_a_number_and_an_array_keeps_its_shape() -> None:
    assert np.shape(portable_math.exp(1)) == ()
    assert portable_math.log1p(np.zeros((3, 0, 2))).shape == (3, 0, 2)
    assert portable_math.sin(np.zeros((2, 10_000))[:, ::2]).shape == (2, 5_000)


def test_a_number_gives_the_same_bits_alone_and_in_a_long_array() -> None:
    values = draws(-5, 5, count=20_000)
    for function in (portable_math.exp, portable_math.expm1, portable_math.sin, portable_math.halved):
        assert function(values)[-50:].tolist() == [function(value) for value in values[-50:]]


def test_an_angle_too_large_to_be_reduced_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1e\\+06 radians; expected at most 65536"):
        portable_math.sin([0.0, 1e6])


@pytest.mark.parametrize("size", [1, 2, 5, 28])
def test_a_system_is_solved_as_lapack_solves_it(size: int) -> None:
    random = np.random.default_rng(size)
    x = random.normal(size=(3 * size, size))
    weights = random.uniform(0.1, 1, len(x))
    matrix = portable_math.cross_product(x, weights)
    np.testing.assert_allclose(matrix, x.T @ (weights[:, None] * x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(portable_math.cholesky(matrix), np.linalg.cholesky(matrix), rtol=1e-9, atol=1e-12)
    right = random.normal(size=size)
    np.testing.assert_allclose(portable_math.solve(matrix, right), np.linalg.solve(matrix, right), rtol=1e-6)
    np.testing.assert_allclose(portable_math.weighted_sum(x, right), x @ right, rtol=1e-9, atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    with pytest.raises(ValueError, match="expected it positive definite"):
        portable_math.solve(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2))
