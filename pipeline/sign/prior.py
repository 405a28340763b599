"""The area model and its rows at the latest cutoff -> the prior of a bundle: log-odds of each cell."""

from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import h3.api.numpy_int as h3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.runtime.errors import StageError
from pipeline.runtime.local_days import later, zone_of
from pipeline.storage import store
from threat_scorer.bundle.manifest import PriorTerms, write_time
from threat_scorer.bundle.prior import CELLS, LOG_ODDS
from threat_scorer.scoring.scorer import Scorer


@dataclass(frozen=True)
class MadePrior:
    """A prior as it goes into a bundle."""

    terms: PriorTerms
    members: dict[str, bytes]


def of_latest_cutoff(model: str, features: Path, scorer: Scorer) -> MadePrior:
    """Score every cell at the latest cutoff with a model of area risk, as it stands in the bundle.

    Parameters
    ----------
    model
        Name of the model of area risk.
    features
        Rows of that model: `cell`, `cutoff` and the model's inputs.
    scorer
        Of the bundle, with that model in it.

    Raises
    ------
    StageError
        There are no rows, or no such file.
    """
    if not features.exists():
        raise StageError(f"{features}: not there; run the features stage, or sign with --no-prior")
    cutoffs = store.read_table(features, columns=["cutoff"])
    latest = pc.max(cutoffs["cutoff"])
    if not latest.is_valid:
        raise StageError(f"{features}: no rows; expected the cells of at least one cutoff")
    inputs = [entry.name for entry in scorer.contracts[model].inputs]
    pieces = store.read_batches(features, columns=["cell", "cutoff", *inputs])
    rows = pa.concat_tables([piece.filter(pc.equal(piece["cutoff"], latest)) for piece in pieces])
    cells = np.array([int(cell, 16) for cell in rows["cell"].to_pylist()], np.uint64)
    log_odds = scorer.score(model, {name: rows[name].to_numpy() for name in inputs}).log_odds
    order = np.argsort(cells)
    cutoff = latest.as_py()
    horizon = scorer.contracts[model].horizon_days or 0
    # a horizon of the theatre's calendar days: it ends at a midnight there
    at = np.array([cutoff.replace(tzinfo=None)], "datetime64[us]")
    until = later(at, horizon, zone_of(cutoffs.schema))[0].item().replace(tzinfo=UTC)
    return MadePrior(
        PriorTerms(write_time(cutoff), write_time(until), int(h3.get_resolution(cells[0]))),
        {CELLS: cells[order].astype("<u8").tobytes(), LOG_ODDS: log_odds[order].astype("<f4").tobytes()},
    )
