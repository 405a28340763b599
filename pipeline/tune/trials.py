"""What has been tried <-> a Parquet file, so that nothing is tried twice: a row for each data and candidate."""

import dataclasses
import hashlib
import inspect
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.model import fitted, loglinear
from pipeline.params import AreaBoosting
from pipeline.storage import store
from pipeline.train import area_risk, boosting
from pipeline.tune.search import Score
from pipeline.validation import origins, rolling

FIT = (area_risk, boosting, loglinear, fitted, rolling, origins)
"""The modules that make a score of rows and a candidate."""

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
    """Return ``sha256:<hex>`` of what a try's score depends on: the rows, the candidate, LightGBM and our own code."""
    code = store.digest(*(Path(inspect.getfile(module)) for module in FIT))
    told = [rows_digest, dataclasses.asdict(settings), version("lightgbm"), code]
    return f"sha256:{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()}"


def read(path: Path) -> dict[str, Score]:
    """Return the scores of what has been tried, by key; none where there is no file yet."""
    if not path.exists():
        return {}
    return {
        row["key"]: Score(
            row["log_loss"], row["pr_auc"], np.array(row["log_loss_by_cutoff"]), np.array(row["block"], np.int64)
        )
        for row in store.read_table(path).to_pylist()
    }


def add(path: Path, name: str, settings: AreaBoosting, score: Score) -> None:
    """Add a try to the file, which is replaced in one step: a killed search leaves all that it has finished."""
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
