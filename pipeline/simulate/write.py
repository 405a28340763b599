"""A scenario -> the partners' files and, apart from them, the truth: all of a simulated theatre."""

from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.params import Dataset, Simulate
from pipeline.simulate import files, process
from pipeline.simulate.detections import make_lanes, write_detections
from pipeline.simulate.events import Happenings, Recorder
from pipeline.simulate.ground import Floats, Ground, make_ground
from pipeline.simulate.oracle import Oracle, make_visibility
from pipeline.simulate.partners import PARTNERS, report
from pipeline.simulate.scenario import Scenario, make_scenario
from pipeline.storage import store

_UTC = pa.timestamp("us", tz="UTC")


def write_theatre(simulate: Simulate, dataset: Dataset, *, raw: Path, truth: Path) -> None:
    """Make a theatre and write it.

    Parameters
    ----------
    simulate, dataset
        Size and seed, and the dataset that the theatre is for.
    raw
        Folder that receives the partners' files.
    truth
        Folder that receives the truth; see `pipeline.simulate` for its tables.
    """
    scenario = make_scenario(simulate, dataset)
    ground = make_ground(scenario)
    laws = process.make_laws(scenario, ground)
    lanes = make_lanes(scenario, ground, laws)
    happenings, weekly_prior = _run(scenario, ground, laws, lanes.cell, truth)
    files.write_ground(scenario, ground, raw)
    files.write_border(ground, raw)
    files.write_observations(happenings.observations, scenario, ground, raw)
    _write_reports(happenings, scenario, ground, raw, truth)
    write_detections(scenario, ground, lanes, weekly_prior, raw=raw, truth=truth)


def _run(
    scenario: Scenario, ground: Ground, laws: process.Laws, lane_cell: np.ndarray, truth: Path
) -> tuple[Happenings, Floats]:
    """Run the process once: record the events, write each day's truth, keep the lanes' prior by week."""
    recorder = Recorder(scenario, ground, laws)
    oracle = Oracle(laws, make_visibility(scenario, ground), scenario.horizons_days)
    weekly_prior, cells = [], pa.array(ground.cells)
    columns = [f"probability_{horizon}d" for horizon in scenario.horizons_days]
    schema = pa.schema(
        [("cell", pa.string()), ("day", _UTC), *((name, pa.float32()) for name in ["intensity", *columns])]
    )
    with store.writing_table(truth / "intensity.parquet", schema=schema) as append:
        for _, days in groupby(process.run(scenario, laws), lambda day: day.number // 7):
            week = list(days)
            for day in week:
                recorder.add(day)
                if day.number < 0:
                    oracle.pass_over(day)
            if week[0].number < 0:
                continue
            outlook = oracle.outlook(week)
            weekly_prior.append(outlook[scenario.horizons_days[0]][lane_cell, 0])
            for k, day in enumerate(week):
                instant = scenario.instants(np.full(len(ground.cells), float(day.number)))
                values = [cells, instant, day.intensity, *(probability[:, k] for probability in outlook.values())]
                append(pa.table([pa.array(v).cast(f.type) for v, f in zip(values, schema, strict=True)], schema=schema))
    return recorder.happenings(), np.array(weekly_prior)


def _write_reports(happenings: Happenings, scenario: Scenario, ground: Ground, raw: Path, truth: Path) -> None:
    reported, faults = [], []
    for partner in PARTNERS:
        reports = report(partner, happenings.events, scenario, ground)
        name, faulty = files.write_incidents(partner.name, reports, scenario, ground, raw)
        reported.append(reports.drop_duplicates("record_id").assign(raw_file=name))
        faults.append(faulty.assign(raw_file=name))
    hazards = happenings.hazards
    latitude, longitude = ground.projection.degrees(hazards[["x_m", "y_m"]].to_numpy())
    hazards = hazards.assign(
        cell=ground.cells[hazards["cell"]],
        latitude_deg=latitude,
        longitude_deg=longitude,
        placed_at=scenario.instants(hazards["day"].to_numpy()),
        fate_at=scenario.instants(hazards["fate_day"].to_numpy()),
    )
    columns = ["hazard_id", "cell", "latitude_deg", "longitude_deg", "hazard", "placed_at", "fate", "fate_at"]
    _write_truth(hazards[columns], truth / "hazards.parquet", "hazard_id")
    _write_truth(pd.concat(reported)[["raw_file", "record_id", "event_id"]], truth / "reports.parquet", "record_id")
    _write_truth(
        pd.concat(faults)[["raw_file", "raw_row", "key", "fault"]], truth / "faults.parquet", "raw_file", "raw_row"
    )


def _write_truth(frame: pd.DataFrame, path: Path, *sort_by: str) -> None:
    types = {"raw_row": pa.int64(), "latitude_deg": pa.float64(), "longitude_deg": pa.float64()}
    types |= {"placed_at": _UTC, "fate_at": _UTC}
    schema = pa.schema([(str(name), types.get(str(name), pa.string())) for name in frame.columns])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    store.write_table(table, path, schema=schema, sort_by=sort_by)
