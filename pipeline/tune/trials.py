"""Tries and their scores <-> a Parquet file with a row for each data and candidate: nothing is tried twice."""

import dataclasses
import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.params.stages import AreaBoosting
from pipeline.runtime import code_closure
from pipeline.storage import store
from pipeline.tune.search import Score

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("settings", pa.string(), nullable=False),
        pa.field("log_loss", pa.float64(), nullable=False),
        pa.field("pr_auc", pa.float64(), nullable=False),
        pa.field("log_loss_by_cutoff", pa.list_(pa.float64()), nullable=False),
        pa.field("block", pa.list_(pa.int64()), nullable=False),
    ]
)


def key(rows_digest: str, settings: AreaBoosting) -> str:
    """Return ``sha256:<hex>`` of all that a score depends on: the rows, the candidate, LightGBM and our own code."""
    code = code_closure.digest("pipeline.tune.search")
    inputs = [rows_digest, dataclasses.asdict(settings), version("lightgbm"), code]
    return f"sha256:{hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()}"


def read(path: Path) -> dict[str, Score]:
    """Return the score of each try, by its key; none where there is no file yet."""
    if not path.exists():
        return {}
    return {
        row["key"]: Score(
            row["log_loss"], row["pr_auc"], np.array(row["log_loss_by_cutoff"]), np.array(row["block"], np.int64)
        )
        for row in store.read_table(path).to_pylist()
    }


def add(path: Path, name: str, settings: AreaBoosting, score: Score) -> None:
    """Add a try to the file, replaced in one step: a killed search leaves all its finished tries.

    Parameters
    ----------
    path
        The file.
    name
        Key of the try.
    settings
        The candidate that was tried.
    score
        Its score.
    """
    row = {
        "key": name,
        "settings": json.dumps(dataclasses.asdict(settings), sort_keys=True),
        "log_loss": score.log_loss,
        "pr_auc": score.pr_auc,
        "log_loss_by_cutoff": score.by_cutoff.tolist(),
        "block": score.blocks.tolist(),
    }
    earlier = [store.read_table(path)] if path.exists() else []
    table = pa.concat_tables([*earlier, pa.Table.from_pylist([row], schema=SCHEMA)])
    store.write_table(table, path, schema=SCHEMA, sort_by=("key",))
