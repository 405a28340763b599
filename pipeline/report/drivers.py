"""The bundle's own reasons for held-out rows -> how much each group of features moves the risk."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.model.catalogue import Feature
from pipeline.model.feature_groups import by_group

Matrix = npt.NDArray[np.float32]

ROWS_AT_ONCE = 256
"""The graph holds a number for each row, tree and feature: 256 x 900 x 150 take some 300 MiB."""


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
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    if "contributions" not in [output.name for output in session.get_outputs()]:
        return None
    parts = []
    names, groups = [feature.name for feature in features], [feature.group for feature in features]
    for batch in rows.select(names).to_batches(max_chunksize=ROWS_AT_ONCE):
        matrix = np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in names])
        (added,) = session.run(["contributions"], {"features": matrix, "explain": np.array([True])})
        grouped, sums = by_group(groups, added)
        parts.append(sums)
    return Reasons(grouped, np.concatenate(parts))
