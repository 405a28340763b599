"""The whole area model on a large theatre: what each step takes, from tables in memory to a risk for every cell.

``python benchmarks/area.py [--cells 20000] [--days 3650]``. Incidents only, a twentieth of the cells hot; a cutoff
every 14 days. The steps are the stages' own functions, without reading and writing: features, the fit of one origin
(the trees' largest number), and the score of every cell at one cutoff. The last line is JSON.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import h3
import numpy as np
import pyarrow as pa

from pipeline import params
from pipeline.features import area_risk
from pipeline.model.fitted import Columns
from pipeline.params import AreaTask, Label, Theatre
from pipeline.storage import schemas
from pipeline.train import boosting
from pipeline.validation import origins, rolling

EVENTS_PER_CELL_AND_DAY = 0.002
FIRST = date(2013, 1, 1)


def incidents(cells: list[str], days: int) -> pa.Table:
    """Return explosions known a day after: half of them in a twentieth of the cells."""
    random = np.random.default_rng(7)
    count = int(len(cells) * days * EVENTS_PER_CELL_AND_DAY)
    hot = random.random(count) < 0.5
    cell = np.where(hot, random.integers(0, len(cells) // 20, count), random.integers(0, len(cells), count))
    position = np.array([h3.cell_to_latlng(name) for name in cells])[cell]
    occurred = np.datetime64(FIRST, "us") + random.integers(0, days * 86_400, count).astype("timedelta64[s]")
    names = pa.array([f"i{number}" for number in range(count)])
    said: dict[str, Any] = {
        "incident_id": names,
        "record_id": names,
        "occurred_at": occurred,
        "available_at": occurred + np.timedelta64(1, "D"),
        "latitude_deg": position[:, 0],
        "longitude_deg": position[:, 1],
        "releasable_to": pa.array([["ALL"]] * count),
        "simulated": pa.array(np.ones(count, dtype=np.bool_)),
        "raw_row": np.arange(count),
    }
    plain = {"occurred_precision": "minute", "event_type": "explosion", "hazard": "mine", "tlp": "CLEAR"}
    columns = []
    for field in schemas.INCIDENTS.schema:
        if field.name in said:
            columns.append(pa.array(said[field.name]).cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(count, field.type))
        else:
            columns.append(pa.repeat(plain.get(field.name, "benchmark"), count).cast(field.type))
    return pa.table(columns, schema=schemas.INCIDENTS.schema)


def places(cells: list[str]) -> pa.Table:
    """Return a settlement in every cell, so that all are of the theatre."""
    known = datetime(2000, 1, 1, tzinfo=UTC)
    rows = []
    for name in cells:
        latitude, longitude = h3.cell_to_latlng(name)
        row = {field.name: None if field.nullable else "benchmark" for field in schemas.PLACES.schema}
        row |= {"kind": "settlement", "available_at": known, "latitude_deg": latitude, "longitude_deg": longitude}
        rows.append(row | {"place_id": name, "releasable_to": ["ALL"], "tlp": "CLEAR", "simulated": True, "raw_row": 1})
    return pa.Table.from_pylist(rows, schema=schemas.PLACES.schema)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=3_650)
    given = parser.parse_args()
    declared = params.load()
    centre = h3.latlng_to_cell(-30.0, -15.0, 7)
    reach = next(k for k in range(1000) if 3 * k * (k + 1) + 1 >= given.cells)
    cells = sorted(h3.grid_disk(centre, reach))[: given.cells]
    bounds = declared.theatre("simulated").bounds
    last = FIRST + timedelta(days=given.days)
    task = AreaTask(
        label=Label(event_types=["explosion"], hazards=["mine"], sources=[]),
        horizon_days=28,
        cutoff_every_days=14,
        retrain_every_days=364,
        history_from=FIRST,
        train_from=FIRST + timedelta(days=28),
        test_from=last - timedelta(days=364),
        test_until=last,
    )
    happened, ground = incidents(cells, given.days), places(cells)
    nothing = schemas.OBSERVATIONS.schema.empty_table()
    settings = declared.train.area_risk["area_risk_28d"]
    steps: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = step()
        steps[name] = time.perf_counter() - started
        return found

    rows = timed(
        "features of all cutoffs",
        lambda: area_risk.build(
            happened,
            nothing,
            ground,
            theatre=Theatre(bounds=bounds, h3_resolution=7, within_km=0.1, zone="UTC"),
            task=task,
            features=declared.features.area_risk,
            admiralty=declared.admiralty,
        ),
    )
    names = tuple(feature.name for feature in rows.features)
    columns = Columns(names, tuple(feature.name for feature in rows.features if feature.linear))
    cutoffs = rows.table["cutoff"].to_numpy().astype("datetime64[us]")
    outcome = rows.table["label"].to_numpy(zero_copy_only=False) == 1
    origin = origins.rolling_origins(cutoffs, task, calibration_blocks=0)[-1]
    learned, count = rolling.thinned(origin.train, outcome, most_negatives=settings.most_negatives, seed=settings.seed)
    matrix = columns.of(rows.table.take(pa.array(learned)))
    model = timed(
        "fit of one origin",
        lambda: boosting.fit(matrix, outcome[learned], columns, settings, rounds=settings.rounds[-1], weights=count),
    )
    now = columns.of(rows.table.filter(pa.array(cutoffs == cutoffs.max())))
    timed("score of every cell at one cutoff", lambda: model.log_odds(now))

    total = sum(steps.values())
    print(
        f"{given.cells:,} cells, {given.days:,} days, {rows.table.num_rows:,} rows of {len(names)} features, ", end=""
    )
    print(f"{len(learned):,} of them to fit; load {os.getloadavg()[1]:.1f}\n")
    print("| step | seconds | share |\n| --- | ---: | ---: |")
    for name, seconds in steps.items():
        print(f"| {name} | {seconds:.2f} | {seconds / total:.1%} |")
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(f"\npeak {peak:,} MiB")
    shares = {name: round(seconds / total, 4) for name, seconds in steps.items()}
    print(json.dumps({"benchmark": "area", "ratios": {}, "shares": shares, "peak_mib": {"area": peak}}))


if __name__ == "__main__":
    main()
