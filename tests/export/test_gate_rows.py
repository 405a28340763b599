"""Rows made for the gate: a generator's numbers become the rows of their definition, however they are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.export.gate import rows
from pipeline.export.gate.rows import RealColumns, Rows, in_parts


def synthetic(columns: RealColumns, count: int, rng: np.random.Generator) -> Rows:
    """Return what `RealColumns.synthetic` promises, all at once."""
    values = columns.low + rng.random((count, len(columns.low))) * (columns.high - columns.low)
    values[:, columns.whole] = np.round(values[:, columns.whole])
    values[rng.random(values.shape) < columns.missing_share] = np.nan
    return values.astype(np.float32)


def random(columns: RealColumns, count: int, rng: np.random.Generator) -> Rows:
    """Return what `RealColumns.random` promises, all at once: every number is drawn, whether it is used or not."""
    result = synthetic(columns, count, rng)
    third = count // 3
    chosen = rng.integers(len(columns.sample), size=(third, result.shape[1]))
    result[:third] = np.take_along_axis(columns.sample, chosen, axis=0)
    result[third : 2 * third] += 3 * synthetic(columns, third, rng)
    return result


@settings(max_examples=60, derandomize=True)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    features=st.integers(1, 9),
    block=st.sampled_from([1, 7, 64, 16384]),
    missing=st.booleans(),
    seed=st.integers(0, 99),
)
def test_rows_drawn_block_by_block_are_those_drawn_at_once(
    counts: list[int], features: int, block: int, missing: bool, seed: int
) -> None:
    real = np.random.default_rng(seed).normal(size=(23, features)).astype(np.float32) * 9
    real[:, ::2] = np.round(real[:, ::2])
    real[::5, -1] = np.nan if missing else 0
    columns = RealColumns.of(real)
    drawn, expected = np.random.default_rng(seed), np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_BLOCK", block)
        for count in counts:  # an odd number of small integers leaves half of a 64-bit number to the next rows
            np.testing.assert_array_equal(columns.random(count, drawn), random(columns, count, expected))
            np.testing.assert_array_equal(columns.synthetic(count, drawn), synthetic(columns, count, expected))
    assert drawn.bit_generator.state == expected.bit_generator.state


def test_parts_have_all_the_rows() -> None:
    parts = list(in_parts(lambda n: np.zeros((n, 2), np.float32), 40_000))
    assert [len(part) for part in parts] == [16384, 16384, 7232]
