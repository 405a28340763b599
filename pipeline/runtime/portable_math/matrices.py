"""Small matrices -> products and solutions whose sums are taken in one order, on every processor.

The libraries behind ``@`` and `numpy.linalg` choose by the processor in which order they add. So they choose whether
they round a product before they add it. Here every step is one of two. An elementwise + - * / or square root is rounded
alike everywhere (IEEE 754). numpy's own sum adds in the order of its C code: pairwise, eight at a time.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


def weighted_sum(columns: Floats, weights: Floats) -> Floats:
    """Return ``columns @ weights``: the sums over the columns, from the first to the last.

    Parameters
    ----------
    columns
        Shape (n, k).
    weights
        Shape (k,) or (k, m).

    Returns
    -------
    ndarray of float64, shape (n,) or (n, m)
    """
    if weights.ndim == 2:
        return np.column_stack([weighted_sum(columns, weights[:, j]) for j in range(weights.shape[1])])
    total = np.zeros(len(columns))
    for column, weight in zip(columns.T, weights, strict=True):
        total += column * weight
    return total


def cross_product(x: Floats, weights: Floats | None = None) -> Floats:
    """Return ``x.T @ diag(weights) @ x``, symmetric, shape (k, k), for x of shape (n, k) with few columns."""
    columns = np.ascontiguousarray(x.T)
    weighted = columns if weights is None else columns * weights
    found = np.empty((len(columns), len(columns)))
    for i, column in enumerate(weighted):
        found[i, i:] = found[i:, i] = (column * columns[i:]).sum(axis=1)
    return found


def cholesky(matrix: Floats) -> Floats:
    """Return the lower triangle L with ``L @ L.T == matrix``, which is symmetric and positive definite.

    Raises
    ------
    ValueError
        It is not positive definite.
    """
    rest = matrix.astype(np.float64)
    lower = np.zeros_like(rest)
    for j in range(len(rest)):
        if not rest[j, j] > 0:
            raise ValueError(f"matrix: got {rest[j, j]:g} on the diagonal of step {j}; expected it positive definite")
        lower[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
        rest[j + 1 :, j + 1 :] -= lower[j + 1 :, j, None] * lower[None, j + 1 :, j]
    return lower


def solve_lower(lower: Floats, right: Floats) -> Floats:
    """Return x with ``lower @ x == right``, of which shape (k,) or (k, m)."""
    x = right.astype(np.float64)
    for j in range(len(x)):
        x[j] /= lower[j, j]
        x[j + 1 :] -= np.multiply.outer(lower[j + 1 :, j], x[j])
    return x


def solve(matrix: Floats, right: Floats) -> Floats:
    """Return x with ``matrix @ x == right``, for a symmetric positive definite matrix.

    Raises
    ------
    ValueError
        As `cholesky`.

    Examples
    --------
    >>> solve(np.array([[4.0, 2.0], [2.0, 5.0]]), np.array([8.0, 12.0])).tolist()
    [1.0, 2.0]
    """
    lower = cholesky(matrix)
    half = solve_lower(lower, right)
    # the transposed triangle, last row first, is a lower one again
    return solve_lower(lower.T[::-1, ::-1], half[::-1])[::-1]
