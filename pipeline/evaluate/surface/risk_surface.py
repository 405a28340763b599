"""The area model at one cutoff -> the risk of every cell for planners, as a table and as GeoJSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from pipeline.evaluate.surface import risk_interval
from pipeline.model import cells as h3cells
from pipeline.model.catalogue import EXPOSURE, Feature
from pipeline.model.explain import Scores, log_odds, score
from pipeline.model.fit_record import AreaFitRecord
from pipeline.params import Evaluate
from pipeline.runtime.errors import StageError
from pipeline.runtime.local_days import day_of, later, midnight
from pipeline.storage.marking import Marking
from pipeline.storage.schemas import UTC as UTC_MICROSECONDS
from pipeline.validation import origins

DRIVERS = 3
"""Groups of features named for each cell."""

SCHEMA = pa.schema(
    [
        pa.field("cell", pa.string(), nullable=False),
        pa.field("cutoff", UTC_MICROSECONDS, nullable=False),
        pa.field("expires_at", UTC_MICROSECONDS, nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("probability_low", pa.float64(), nullable=False),
        pa.field("probability_high", pa.float64(), nullable=False),
        pa.field("probability_even_exposure", pa.float64(), nullable=False),
        pa.field("drivers", pa.list_(pa.struct([("group", pa.string()), ("log_odds", pa.float64())])), nullable=False),
        pa.field("originator", pa.string(), nullable=False),
        pa.field("releasable_to", pa.list_(pa.string()), nullable=False),
        pa.field("tlp", pa.string(), nullable=False),
        pa.field("simulated", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Validity:
    """Which cutoff is used for a day, and until when it is valid."""

    date: date
    """Of the theatre's calendar."""
    cutoff: datetime
    """The last one at or before the start of the day. The surface contains nothing that became known after it."""
    expires_at: datetime
    """The end of the horizon that begins at the cutoff: the start of the first day without a prediction."""
    seen_in_training: bool
    """Whether the model has learned from outcomes after the cutoff: then it looks surer than it could have been."""
    zone: str
    """In which the days begin."""

    @property
    def days_older(self) -> int:
        """Days from the one that begins at the cutoff to the requested one."""
        return int((np.datetime64(self.date, "D") - _day(self.cutoff, self.zone)).astype(int))


@dataclass(frozen=True)
class Surface:
    """Risk of every cell."""

    table: pa.Table
    """`SCHEMA`, by cell."""
    validity: Validity
    horizon_days: int
    marking: Marking
    simulated: bool


def validity(day: date, cutoffs: list[datetime], fit: AreaFitRecord, *, zone: str) -> Validity:
    """Find the cutoff that is used for a day.

    Parameters
    ----------
    day
        Of the theatre's calendar.
    cutoffs
        Those that the features have, aware.
    fit
        Record of the fit: ``horizon_days`` and ``labels_until``.
    zone
        Of the cutoffs and of the day.

    Raises
    ------
    StageError
        The day lies before the first cutoff, or no surface is valid any more.
    """
    horizon, start = fit.horizon_days, midnight(day, zone)
    earlier = [cutoff for cutoff in cutoffs if cutoff <= start]
    if not earlier or start >= horizon_after(max(earlier), horizon, zone=zone):
        last = _day(max(cutoffs), zone) + horizon
        raise StageError(
            f"surface: --date {day}: no cutoff of the features is valid then; expected a day from "
            f"{_day(min(cutoffs), zone)}, the first cutoff, until before {last}, when the last one expires ({zone})"
        )
    cutoff = max(earlier)
    labels_until = datetime.fromisoformat(fit.labels_until).astimezone(UTC)
    expires = horizon_after(cutoff, horizon, zone=zone)
    return Validity(day, cutoff, expires, seen_in_training=cutoff < labels_until, zone=zone)


def horizon_after(cutoff: datetime, days: int, *, zone: str) -> datetime:
    """Return when a horizon of so many calendar days ends, or began where they are negative; UTC.

    Parameters
    ----------
    cutoff, days
        Start of the horizon, aware, and its length.
    zone
        In which the days begin.

    Examples
    --------
    >>> horizon_after(datetime(2021, 3, 25, 22, tzinfo=UTC), 7, zone="Asia/Beirut").isoformat()  # clocks go forward
    '2021-04-01T21:00:00+00:00'
    """
    moment: datetime = later(np.array([cutoff.replace(tzinfo=None)], "datetime64[us]"), days, zone)[0].item()
    return moment.replace(tzinfo=UTC)


def known_by(cutoff: datetime, calibration: pa.Table, held_out: pa.Table, *, horizon_days: int, zone: str) -> pa.Table:
    """Return the rows that the model had not seen and whose horizon had ended by a cutoff.

    The rows that calibrate the first origin of the test count for every cutoff. Outcomes are those
    that are known today: a report that came late counts.

    Parameters
    ----------
    cutoff
        Aware.
    calibration, held_out
        What `train` wrote: ``cutoff``, ``label`` and ``log_odds`` of each row.
    horizon_days, zone
        Of the model, and of its cutoffs.
    """
    latest = pa.scalar(horizon_after(cutoff, -horizon_days, zone=zone), UTC_MICROSECONDS)
    ended = pc.less_equal(held_out["cutoff"], latest)
    wanted = ["cutoff", "label", "log_odds"]
    return pa.concat_tables([calibration.select(wanted), held_out.filter(ended).select(wanted)])


def build(
    rows: pa.Table,
    known: pa.Table,
    booster: lightgbm.Booster,
    fit: AreaFitRecord,
    valid: Validity,
    settings: Evaluate,
    *,
    features: Sequence[Feature],
    simulated: bool,
) -> Surface:
    """Score every cell at the cutoff.

    Parameters
    ----------
    rows
        Features of the cutoff, by cell.
    known
        ``cutoff``, ``label`` and ``log_odds`` of rows that the model had not seen and whose outcomes are known.
    booster
        The model's trees.
    fit
        Record of the fit.
    valid
        The cutoff, and until when it is valid.
    settings
        Bootstrap of the interval.
    features
        What each feature is, in the model's order.
    simulated
        Whether the theatre is.
    """
    scores = score(rows, booster, fit, [feature.group for feature in features])
    low, high = risk_interval.risk_interval(
        scores.log_odds,
        known_log_odds=known["log_odds"].to_numpy(),
        known_outcome=known["label"].to_numpy() == 1,
        blocks=origins.blocks(known["cutoff"].to_numpy(), horizon_days=fit.horizon_days),
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )
    marking = fit.marking
    columns = {
        "cell": rows["cell"],
        "probability": expit(scores.log_odds),
        "probability_low": low,
        "probability_high": high,
        "probability_even_exposure": expit(log_odds(even_exposure(rows, features), booster, fit)),
        "drivers": pa.array(drivers(scores), SCHEMA.field("drivers").type),
    }
    constants = {
        "cutoff": valid.cutoff,
        "expires_at": valid.expires_at,
        "originator": marking.originator,
        "releasable_to": list(marking.releasable_to),
        "tlp": marking.tlp,
        "simulated": simulated,
    }
    everywhere = {name: pa.array([value] * rows.num_rows, SCHEMA.field(name).type) for name, value in constants.items()}
    table = pa.table({**columns, **everywhere}).select(SCHEMA.names).cast(SCHEMA)
    return Surface(table, valid, fit.horizon_days, marking, simulated)


def even_exposure(rows: pa.Table, features: Sequence[Feature]) -> pa.Table:
    """Return the rows with patrols, searches and clearance the same in every cell: at the mean of the rows.

    What is found follows where people look. Suppose a planner looks where the risk is high, and computes the next risk
    from what is found there. Then a hot spot confirms itself. With the risk at even exposure it does not.
    """
    for feature in features:
        if feature.group in EXPOSURE:
            name = feature.name
            mean = np.full(rows.num_rows, rows[name].to_numpy().mean(dtype=np.float64), dtype=np.float32)
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(mean))
    return rows


def drivers(scores: Scores) -> list[list[dict[str, Any]]]:
    """Return by row the groups of features that move it most from the rows' mean, the largest first."""
    first = np.argsort(-np.abs(scores.added), axis=1, kind="stable")[:, :DRIVERS]
    moved = np.take_along_axis(scores.added, first, axis=1)
    return [
        [{"group": scores.groups[j], "log_odds": float(by)} for j, by in zip(which, added, strict=True)]
        for which, added in zip(first, moved, strict=True)
    ]


def geojson(surface: Surface) -> dict[str, Any]:
    """Return the surface as a GeoJSON FeatureCollection (RFC 7946): a polygon for each cell, facts of all beside it.

    Times are ISO 8601, positions longitude and latitude in degrees, exterior rings anticlockwise.
    """
    valid = surface.validity
    of_all = {
        "date": valid.date.isoformat(),
        "zone": valid.zone,
        "cutoff": _time(valid.cutoff),
        "expires_at": _time(valid.expires_at),
        "horizon_days": surface.horizon_days,
        "seen_in_training": valid.seen_in_training,
        "interval": risk_interval.METHOD,
        "drivers": "log-odds over the mean of the cells on the day, by group of features",
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
    older = f", {valid.days_older} days older" if valid.days_older else ""
    last = _day(valid.expires_at, valid.zone) - 1
    message = (
        f"risk of {surface.table.num_rows:,} cells on {valid.date}, as known at {_time(valid.cutoff)}{older}; "
        f"holds until the end of {last}, {valid.zone}, and expires {_time(valid.expires_at)}; "
        f"TLP:{surface.marking.tlp}{', simulated' if surface.simulated else ''}"
    )
    if valid.seen_in_training:
        message += (
            "\nthe model has learned from outcomes after this cutoff: the surface looks surer than it could have been"
        )
    return message


def _day(moment: datetime, zone: str) -> np.datetime64:
    return day_of(np.datetime64(moment.replace(tzinfo=None), "us"), zone)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
