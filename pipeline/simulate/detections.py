"""Lanes on the ground -> a stream of detections, in order of time, one chunk at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.runtime import portable_math
from pipeline.simulate import sensors
from pipeline.simulate.ground import Floats, Ground, Integers
from pipeline.simulate.process import YEAR_DAYS, Laws, plan_patrols
from pipeline.simulate.scenario import Scenario
from pipeline.storage import store

FILE = "command/detections.csv"
CHUNK_ALARMS = 200_000
LANE_M = 300.0
SENSORS = 12
PRIOR_RANGE = (0.01, 0.7)
"""Limits of an alarm's prior: it is never certain what lies there."""
NEVER_DUG = 0.12
"""Share of alarms whose cause nobody looked for."""
FAULTY_PER_CHUNK = 12

TRUTH = pa.schema(
    [
        ("record_id", pa.string()),
        ("cell", pa.string()),
        ("is_hazard", pa.bool_()),
        ("prior", pa.float64()),
        ("log_odds", pa.float64()),
        ("log_odds_with_prior", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Lanes:
    """Search lanes; arrays of shape (lanes,) or (lanes, …)."""

    cell: Integers
    start_m: Floats
    """One end, (lanes, 2)."""
    direction: Floats
    """Unit vectors, (lanes, 2)."""
    effect: Floats
    """Soil, moisture and drift in deviations, (lanes, 3)."""


def make_lanes(scenario: Scenario, ground: Ground, laws: Laws) -> Lanes:
    """Lay lanes on the roads, most where patrols go most.

    Parameters
    ----------
    scenario
        Gives the number of lanes and the random stream.
    ground, laws
        The roads, and the laws by which patrols are planned.
    """
    random = scenario.random("lanes")
    count = scenario.size.lanes
    patrolled = plan_patrols(laws, np.zeros(len(ground.cells)))
    cell = np.sort(random.choice(len(ground.cells), count, p=patrolled / patrolled.sum()))
    bearing = random.uniform(0, 2 * np.pi, count)
    return Lanes(
        cell=cell,
        start_m=ground.road_points(cell, random),
        direction=np.column_stack(portable_math.direction(bearing)),
        effect=random.normal(0, 1, (count, len(sensors.LANE_EFFECTS))),
    )


def write_detections(
    scenario: Scenario, ground: Ground, lanes: Lanes, weekly_prior: Floats, *, raw: Path, truth: Path
) -> int:
    """Write the file of detections and what lay under each; return the number of alarms.

    Parameters
    ----------
    scenario, ground, lanes
        The theatre and its search lanes.
    weekly_prior
        Probability of a reported event in each lane's cell, week by week; shape (weeks, lanes). It is the chance that
        an alarm there is a hazard.
    raw, truth
        Folders of the partners' files and of the truth.
    """
    prior = np.clip(weekly_prior, *PRIOR_RANGE)
    base_rate = float(prior.mean())
    (raw / FILE).parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with (raw / FILE).open("wb") as file, store.writing_table(truth / "detections.parquet", schema=TRUTH) as append:
        for rows, under in _chunks(scenario, ground, lanes, prior, base_rate):
            pa_csv.write_csv(rows, file, pa_csv.WriteOptions(include_header=count == 0, quoting_style="none"))
            faulty = _faulty(rows.slice(0, FAULTY_PER_CHUNK))
            pa_csv.write_csv(faulty, file, pa_csv.WriteOptions(include_header=False, quoting_style="none"))
            append(under)
            count += rows.num_rows
    return count


def _chunks(
    scenario: Scenario, ground: Ground, lanes: Lanes, prior: Floats, base_rate: float
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the alarms of one slice of time after the other, and the truth about them."""
    total = scenario.size.alarms
    chunks = -(-total // CHUNK_ALARMS)
    edges = np.linspace(0, total, chunks + 1).astype(np.int64)
    for number, (first, end) in enumerate(pairwise(edges.tolist())):
        random = scenario.random(f"detections {number}")
        yield _chunk(scenario, ground, lanes, prior, base_rate, first, end, random)


def _chunk(
    scenario: Scenario,
    ground: Ground,
    lanes: Lanes,
    prior: Floats,
    base_rate: float,
    first: int,
    end: int,
    random: np.random.Generator,
) -> tuple[pa.Table, pa.Table]:
    count = end - first
    days_per_alarm = scenario.size.days / scenario.size.alarms
    day = np.sort(random.uniform(first * days_per_alarm, end * days_per_alarm, count))
    lane = random.integers(0, len(lanes.cell), count)
    chance = prior[np.minimum(day / 7, len(prior) - 1).astype(np.int64), lane]
    temperature = 0.8 * portable_math.sin(2 * np.pi * day / YEAR_DAYS) + random.normal(0, 0.6, count)
    alarms = sensors.sense(chance, lanes.effect[lane], temperature, base_rate=base_rate, random=random)
    along_m = random.uniform(0, LANE_M, (count, 1)) * lanes.direction[lane]
    latitude, longitude = ground.projection.degrees(lanes.start_m[lane] + along_m)
    outcome_day = day + 0.5 + random.gamma(2.0, 3.0, count)
    looked = (random.random(count) >= NEVER_DUG) & (outcome_day < scenario.size.days)
    outcome = np.where(looked, np.where(alarms.is_hazard, "hazard", "clutter"), "unknown")
    record_id = pa.array([f"D{number:09d}" for number in range(first, end)])
    readings = {name: _nullable(column) for name, column in zip(sensors.READINGS, alarms.readings.T, strict=True)}
    rows = pa.table(
        {
            "record_id": record_id,
            "sensor": pa.array([f"S{number:02d}" for number in (lane + random.integers(0, 2, count)) % SENSORS]),
            "modality": pa.array(_modalities(alarms.readings)),
            "lane": pa.array([f"L{number:05d}" for number in lane]),
            "observed_at": _timestamps(scenario, day),
            "reported_at": _timestamps(scenario, day + 0.05 + random.exponential(0.5, count)),
            "lat": np.round(latitude, 6),
            "lon": np.round(longitude, 6),
            "voltage": readings["voltage"],
            "height": alarms.height,
            **{name: readings[name] for name in sensors.READINGS[1:]},
            "outcome": pa.array(outcome),
            "outcome_at": pa.array(scenario.instants(outcome_day), mask=~looked, type=pa.timestamp("us")).cast(
                _SECONDS
            ),
            "exercise": pa.array(np.full(count, "EXERCISE")),
        }
    )
    under = pa.table(
        {
            "record_id": record_id,
            "cell": pa.array(ground.cells[lanes.cell[lane]]),
            "is_hazard": alarms.is_hazard,
            "prior": chance,
            "log_odds": alarms.log_odds,
            "log_odds_with_prior": alarms.log_odds + portable_math.logit(chance) - portable_math.logit(base_rate),
        },
        schema=TRUTH,
    )
    return rows, under


_SECONDS = pa.timestamp("s", tz="UTC")


def _timestamps(scenario: Scenario, days: Floats) -> pa.Array:
    return pa.array(scenario.instants(days), type=pa.timestamp("us")).cast(_SECONDS)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _modalities(readings: Floats) -> np.ndarray:
    """Return the kinds of sensor that gave something, joined by +."""
    emi = np.where(np.isnan(readings[:, 1]), "", "+emi")
    gpr = np.where(np.isnan(readings[:, 3]), "", "+gpr")
    return np.char.add(np.char.add("magnetometer", emi), gpr)


def _faulty(rows: pa.Table) -> pa.Table:
    """Return copies of some rows, as text, with a fault each and keys of their own."""
    faulty = pd.DataFrame({name: rows[name].cast(pa.string()).to_pylist() for name in rows.column_names}, dtype=object)
    faulty["record_id"] = "X" + faulty["record_id"]
    for number in range(len(faulty)):
        column, value = _FAULTS[number % len(_FAULTS)]
        faulty.loc[number, column] = value
    return pa.Table.from_pandas(faulty, preserve_index=False)


_FAULTS = (("voltage", "3.27"), ("voltage", ""), ("observed_at", "2021-02-30 08:00:00Z"), ("outcome", "maybe"))
"""A value out of range, a required value missing, a day that does not exist, an unknown word."""
