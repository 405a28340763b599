"""Real rows and a forest -> rows made to tell an exported model from its booster."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.export.trees import ZERO_THRESHOLD, Forest

Rows = NDArray[np.float32]

_PART = 16384  # rows made at once: another number would make other rows
_BLOCK = 16384  # values drawn at once
_ENOUGH = 10_000  # real rows, to draw values from

_TINY = np.float32(1e-36)
_DENORMAL = np.float32(1e-42)
SPECIAL = np.array(
    [0.0, ZERO_THRESHOLD, _TINY, _DENORMAL, np.finfo(np.float32).tiny, np.finfo(np.float32).max, np.inf], np.float32
)
"""Values, to be taken with both signs, at which float32 and LightGBM's reading of zero have their edges."""

_NEIGHBOURS_OF_ZERO = np.nextafter(ZERO_THRESHOLD, np.array([0, 1], np.float32))
EDGES = np.concatenate([SPECIAL, -SPECIAL, _NEIGHBOURS_OF_ZERO, -_NEIGHBOURS_OF_ZERO, np.array([np.nan], np.float32)])


@dataclass(frozen=True)
class RealColumns:
    """The values of real rows, column by column: enough to make more. Arrays have shape (features,)."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    missing_share: NDArray[np.float64]
    whole: NDArray[np.bool_]
    """All known values are whole numbers."""
    sample: Rows
    """(rows, features) a few of the real rows."""

    @classmethod
    def of(cls, real: Rows) -> "RealColumns":
        """Read the columns of real rows; one with no known value ranges from 0 to 1."""
        low, high, whole = [], [], []
        for column in real.T:
            known = column[np.isfinite(column)].astype(np.float64)
            low.append(known.min(initial=np.inf) if len(known) else 0.0)
            high.append(known.max(initial=-np.inf) if len(known) else 1.0)
            whole.append(bool(np.all(known == np.floor(known))))
        step = max(len(real) // _ENOUGH, 1)
        return cls(np.array(low), np.array(high), np.isnan(real).mean(axis=0), np.array(whole), real[::step])

    def synthetic(self, count: int, rng: np.random.Generator) -> Rows:
        """Return rows without a measured value: any value within its column's range, as often missing as there."""
        rows = np.empty((count, len(self.low)), np.float32)
        self._fill(rows, 0, rng)
        return rows

    def random(self, count: int, rng: np.random.Generator) -> Rows:
        """Return rows of which a third mix the real columns, a third reach far outside, and a third are `synthetic`."""
        third, n = count // 3, len(self.low)
        rows = np.empty((count, n), np.float32)
        self._fill(rows, third, rng)
        # column after column, so that a column's values lie together
        values, first = self.sample.T.ravel(), len(self.sample) * np.arange(n)
        for block in _blocks(rows[:third]):
            chosen = rng.integers(len(self.sample), size=block.shape)
            chosen += first
            np.take(values, chosen, out=block, mode="clip")
        far = self.synthetic(third, rng)
        far *= 3
        rows[third : 2 * third] += far
        return rows

    def _fill(self, rows: Rows, first: int, rng: np.random.Generator) -> None:
        """Make rows from the first on; for those before it, numbers are drawn all the same."""
        skipped, rows = rows[:first].size, rows[first:]
        _skip(rng, skipped)
        span, whole = self.high - self.low, np.flatnonzero(self.whole)
        for block in _blocks(rows):
            values = rng.random(block.shape)
            values *= span
            values += self.low
            values[:, whole] = np.round(values[:, whole])
            block[:] = values
        _skip(rng, skipped)
        if not self.missing_share.any():
            _skip(rng, rows.size)
            return
        for block in _blocks(rows):
            block[rng.random(block.shape) < self.missing_share] = np.nan


def _blocks(rows: Rows) -> Iterator[Rows]:
    """Yield the rows a few at a time, so that what is drawn for them stays in a core's cache."""
    size = max(_BLOCK // rows.shape[1], 1)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _skip(rng: np.random.Generator, doubles: int) -> None:
    """Move a generator past so many doubles."""
    bits = rng.bit_generator
    before = bits.state
    bits.advance(doubles)  # type: ignore[attr-defined]
    # half of a 64-bit number may wait for the next small integer: `advance` throws it away, drawing doubles does not
    bits.state = {**bits.state, "has_uint32": before["has_uint32"], "uinteger": before["uinteger"]}


def in_parts(make: Callable[[int], Rows], count: int) -> Iterator[Rows]:
    """Yield `count` rows, a part at a time, so that a million take no more memory than a few thousand."""
    for start in range(0, count, _PART):
        yield make(min(_PART, count - start))


def threshold_rows(forest: Forest, real: Rows, leaves: NDArray[np.int32]) -> Rows:
    """Return three rows for each node: its threshold as float32 and both neighbours, in a row that comes that far.

    Parameters
    ----------
    forest
        Its nodes give the thresholds.
    real
        (rows, features) to start from.
    leaves
        (rows, trees) leaf of each row of `real`, numbered within the tree.
    """
    visitor = _visitors(forest, leaves)
    numeric = np.flatnonzero(~forest.is_categorical)
    with np.errstate(over="ignore"):
        nearest = forest.threshold[numeric].astype(np.float32)
        values = np.stack(
            [np.nextafter(nearest, np.float32(-np.inf)), nearest, np.nextafter(nearest, np.float32(np.inf))]
        )
    rows = np.tile(real[visitor[numeric]], (3, 1))
    rows[np.arange(len(rows)), np.tile(forest.feature[numeric], 3)] = values.ravel()
    return rows


def adversarial_rows(forest: Forest, count: int, rng: np.random.Generator) -> Rows:
    """Return rows whose every value stands where a model may go wrong.

    Thresholds and their neighbours in float32, the edges of zero, infinities, NaN; categories known, unknown,
    negative, and cut in half.

    Parameters
    ----------
    forest
        Its thresholds and categories are the values.
    count
        Number of rows.
    rng
        Draws a value for each row and column.
    """
    rows = np.empty((count, len(forest.feature_names)), np.float32)
    for column in range(rows.shape[1]):
        on_column = forest.feature == column
        with np.errstate(over="ignore"):
            nearest = np.unique(forest.threshold[on_column & ~forest.is_categorical]).astype(np.float32)
        up, down = (np.nextafter(nearest, np.float32(end)) for end in (np.inf, -np.inf))
        pools = [EDGES, np.concatenate([nearest, up, down])]
        sets = [forest.categories[node] for node in np.flatnonzero(on_column & forest.is_categorical)]
        if sets:
            codes = np.unique(np.concatenate(sets))
            codes = np.concatenate([codes, [codes[-1] + 1, codes[-1] + 1000, 2**31, -1, -2]])
            pools.append(np.concatenate([codes, codes + 0.5, codes - 0.5, codes + 0.999]).astype(np.float32))
        pools = [pool for pool in pools if len(pool)]
        choice = rng.integers(len(pools), size=count)
        for index, pool in enumerate(pools):
            chosen = choice == index
            rows[chosen, column] = rng.choice(pool, int(chosen.sum()))
    return rows


def _visitors(forest: Forest, leaves: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return (nodes,) a row that passes each node; the first row where none does."""
    visitor_of_leaf = np.full(len(forest.leaf_tree), -1, np.int64)
    for tree, first in enumerate(forest.first_leaf):
        visitor_of_leaf[first + leaves[:, tree]] = np.arange(len(leaves))
    visitor = np.full(len(forest.feature), -1, np.int64)
    for node in range(len(visitor) - 1, -1, -1):  # children come after their parents
        for child in (forest.left[node], forest.right[node]):
            visitor[node] = max(visitor[node], visitor_of_leaf[~child] if child < 0 else visitor[child])
    return np.maximum(visitor, 0)
