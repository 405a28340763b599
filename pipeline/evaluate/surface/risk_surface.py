"""The area model at one cutoff -> the risk of every cell for planners: a table, and the same as GeoJSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from pipeline.evaluate.subgroups import EFFORT
from pipeline.evaluate.surface import risk_interval
from pipeline.model import cells as h3cells
from pipeline.model.explain import Scores, log_odds, score
from pipeline.params import Evaluate, midnight
from pipeline.runtime.errors import StageError
from pipeline.storage.marking import Marking
from pipeline.storage.schemas import UTC as UTC_MICROSECONDS
from pipeline.validation import origins

DRIVERS = 3
"""Families of features named for each cell."""

SCHEMA = pa.schema(
    [
        pa.field("cell", pa.string(), nullable=False),
        pa.field("cutoff", UTC_MICROSECONDS, nullable=False),
        pa.field("expires_at", UTC_MICROSECONDS, nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("probability_low", pa.float64(), nullable=False),
        pa.field("probability_high", pa.float64(), nullable=False),
        pa.field("probability_even_effort", pa.float64(), nullable=False),
        pa.field("drivers", pa.list_(pa.struct([("family", pa.string()), ("log_odds", pa.float64())])), nullable=False),
        pa.field("originator", pa.string(), nullable=False),
        pa.field("releasable_to", pa.list_(pa.string()), nullable=False),
        pa.field("tlp", pa.string(), nullable=False),
        pa.field("simulated", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Validity:
    """Which cutoff speaks for a day, and until when."""

    date: date
    cutoff: datetime
    """The last one at or before the start of the day, UTC: what became known after it is not in the surface."""
    expires_at: datetime
    """The end of the horizon that begins at the cutoff."""
    seen_in_training: bool
    """Whether the model has learned from outcomes after the cutoff: then it looks surer than it could have been."""


@dataclass(frozen=True)
class Surface:
    """Risk of every cell."""

    table: pa.Table
    """`SCHEMA`, by cell."""
    validity: Validity
    horizon_days: int
    marking: Marking
    simulated: bool


def validity(day: date, cutoffs: list[datetime], fit: Mapping[str, Any]) -> Validity:
    """Find the cutoff that speaks for a day.

    Parameters
    ----------
    cutoffs
        Those that the features have, aware.
    fit
        Record of the fit: ``horizon_days`` and ``labels_until``.

    Raises
    ------
    StageError
        The day lies before the first cutoff, or no surface is valid any more.
    """
    horizon = timedelta(days=int(fit["horizon_days"]))
    earlier = [cutoff for cutoff in cutoffs if cutoff <= midnight(day)]
    if not earlier or midnight(day) >= max(earlier) + horizon:
        raise StageError(
            f"surface: --date {day}: no cutoff of the features is valid then; expected a day from "
            f"{min(cutoffs):%Y-%m-%d}, the first cutoff, until before {max(cutoffs) + horizon:%Y-%m-%d}, when the "
            "last one expires"
        )
    cutoff = max(earlier)
    labels_until = datetime.fromisoformat(fit["labels_until"]).astimezone(UTC)
    return Validity(day, cutoff, cutoff + horizon, seen_in_training=cutoff < labels_until)


def known_by(cutoff: datetime, calibration: pa.Table, held_out: pa.Table, *, horizon_days: int) -> pa.Table:
    """Return the rows that the model had not seen and whose horizon had ended by a cutoff.

    The rows that calibrate the first origin of the test count for every cutoff. Outcomes are those
    that are known today: a report that came late counts.
    """
    ended = pc.less_equal(held_out["cutoff"], pa.scalar(cutoff - timedelta(days=horizon_days), UTC_MICROSECONDS))
    wanted = ["cutoff", "label", "log_odds"]
    return pa.concat_tables([calibration.select(wanted), held_out.filter(ended).select(wanted)])


def build(
    rows: pa.Table,
    known: pa.Table,
    booster: lightgbm.Booster,
    fit: Mapping[str, Any],
    valid: Validity,
    settings: Evaluate,
    *,
    simulated: bool,
) -> Surface:
    """Score every cell at the cutoff.

    Parameters
    ----------
    rows
        Features of the cutoff, by cell.
    known
        ``cutoff``, ``label`` and ``log_odds`` of rows that the model had not seen and whose outcomes are known.
    fit
        Record of the fit.
    """
    scores = score(rows, booster, fit)
    low, high = risk_interval.risk_interval(
        scores.log_odds,
        known_log_odds=known["log_odds"].to_numpy(),
        known_outcome=known["label"].to_numpy() == 1,
        blocks=origins.blocks(known["cutoff"].to_numpy(), horizon_days=int(fit["horizon_days"])),
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )
    marking = Marking.of(fit["marking"])
    columns = {
        "cell": rows["cell"],
        "probability": expit(scores.log_odds),
        "probability_low": low,
        "probability_high": high,
        "probability_even_effort": expit(log_odds(even_effort(rows), booster, fit)),
        "drivers": pa.array(drivers(scores), SCHEMA.field("drivers").type),
    }
    same = {
        "cutoff": valid.cutoff,
        "expires_at": valid.expires_at,
        "originator": marking.originator,
        "releasable_to": list(marking.releasable_to),
        "tlp": marking.tlp,
        "simulated": simulated,
    }
    everywhere = {name: pa.array([value] * rows.num_rows, SCHEMA.field(name).type) for name, value in same.items()}
    table = pa.table({**columns, **everywhere}).select(SCHEMA.names).cast(SCHEMA)
    return Surface(table, valid, int(fit["horizon_days"]), marking, simulated)


def even_effort(rows: pa.Table) -> pa.Table:
    """Return the rows as if patrols, searches and clearance had gone to every cell alike: at their mean of the rows.

    What is found follows where people look. A planner who looks where the risk is high, and takes what is found there
    for the next risk, makes a hot spot confirm itself; who looks by the risk at even effort does not.
    """
    for place, name in enumerate(rows.column_names):
        if EFFORT.match(name):
            mean = np.full(rows.num_rows, rows[name].to_numpy().mean(dtype=np.float64), dtype=np.float32)
            rows = rows.set_column(place, name, pa.array(mean))
    return rows


def drivers(scores: Scores) -> list[list[dict[str, Any]]]:
    """Return for each row the families that move its log-odds most from the mean of the rows, the largest first."""
    first = np.argsort(-np.abs(scores.added), axis=1, kind="stable")[:, :DRIVERS]
    moved = np.take_along_axis(scores.added, first, axis=1)
    return [
        [{"family": scores.families[j], "log_odds": float(by)} for j, by in zip(which, much, strict=True)]
        for which, much in zip(first, moved, strict=True)
    ]


def geojson(surface: Surface) -> dict[str, Any]:
    """Return the surface as a GeoJSON FeatureCollection (RFC 7946): a polygon for each cell, facts of all beside it.

    Times are ISO 8601, positions longitude and latitude in degrees, exterior rings anticlockwise.
    """
    valid = surface.validity
    of_all = {
        "date": valid.date.isoformat(),
        "cutoff": _time(valid.cutoff),
        "expires_at": _time(valid.expires_at),
        "horizon_days": surface.horizon_days,
        "seen_in_training": valid.seen_in_training,
        "interval": risk_interval.METHOD,
        "drivers": "log-odds over the mean of the cells on the day, by family of features",
        "marking": {**asdict(surface.marking), "releasable_to": list(surface.marking.releasable_to)},
        "simulated": surface.simulated,
    }
    rows = surface.table.to_pylist()
    outlines = [corners.round(6).tolist() for corners in h3cells.outlines([row["cell"] for row in rows])]
    features = [
        {
            "type": "Feature",
            "id": row["cell"],
            "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
            "properties": {
                **row,
                "cutoff": of_all["cutoff"],
                "expires_at": of_all["expires_at"],
            },
        }
        for row, corners in zip(rows, outlines, strict=True)
    ]
    return {"type": "FeatureCollection", **of_all, "features": features}


def describe(surface: Surface) -> str:
    """Return what a planner must know before using the surface, in a line or two."""
    valid = surface.validity
    days = (midnight(valid.date) - valid.cutoff).days
    older = f", {days} days older" if days else ""
    said = (
        f"risk of {surface.table.num_rows:,} cells on {valid.date}, as known at {_time(valid.cutoff)}{older}; "
        f"expires {_time(valid.expires_at)}; TLP:{surface.marking.tlp}{', simulated' if surface.simulated else ''}"
    )
    if valid.seen_in_training:
        said += (
            "\nthe model has learned from outcomes after this cutoff: the surface looks surer than it could have been"
        )
    return said


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
