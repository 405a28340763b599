"""The bundle's own reasons for held-out rows -> how much each group of features moves the risk."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.model.catalogue import Feature, by_group
from pipeline.runtime import workers

Matrix = npt.NDArray[np.float32]

ROWS_AT_ONCE = 4
"""The graph holds a number for each row, tree and feature: those of few rows stay in a processor's own caches."""
ROWS_OF_A_WORKER = 4096


@dataclass(frozen=True)
class Reasons:
    """What each group of features adds to each row's log-odds."""

    groups: tuple[str, ...]
    added: Matrix
    """(rows, groups), log-odds over the typical row's."""

    def mean_effect(self) -> list[tuple[str, float]]:
        """Return the groups with the mean size of what they add, log-odds, the largest first."""
        size = np.abs(self.added).mean(axis=0, dtype=np.float64)
        return sorted(zip(self.groups, size.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))


def reasons(onnx: Path, rows: pa.Table, features: Sequence[Feature]) -> Reasons | None:
    """Return the reasons that the file for the field gives; None where it was exported without.

    Parameters
    ----------
    onnx
        As `export` wrote it.
    rows
        Holds the features, float32.
    features
        What each is, in the model's order.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    if "contributions" not in [output.name for output in session.get_outputs()]:
        return None
    names, groups = [feature.name for feature in features], [feature.group for feature in features]
    explain = np.array([True])

    def reasons_of(part: pa.RecordBatch) -> tuple[tuple[str, ...], Matrix]:
        matrix = np.column_stack([part.column(name).to_numpy(zero_copy_only=False) for name in names])
        added = [
            session.run(["contributions"], {"features": matrix[start : start + ROWS_AT_ONCE], "explain": explain})[0]
            for start in range(0, len(matrix), ROWS_AT_ONCE)
        ]
        return by_group(groups, np.concatenate(added))

    parts = rows.select(names).to_batches(max_chunksize=ROWS_OF_A_WORKER)
    by_part = list(workers.map_in_order(reasons_of, parts))
    return Reasons(by_part[0][0], np.concatenate([sums for _, sums in by_part]))
