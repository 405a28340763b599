"""Detections from CSV to Parquet: this ingest with all its rules, DuckDB's plain copy (the floor), pandas with the same rules.

``python benchmarks/ingest.py [--rows 20000000]``: each runs in a process of its own, on two threads, one after the
other; the table goes to standard output, its last line is JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAPPING = """\
file: detections.csv
about: Made by benchmarks/ingest.py.
table: detections
format: {kind: csv}
key: [id]
fields:
  sensor_id: {column: sensor}
  modality: {constant: magnetometer}
  voltage: {column: voltage}
  height: {column: height}
  emi_in_phase: {column: emi_i}
  emi_quadrature: {column: emi_q}
  gpr_contrast: {column: gpr}
  outcome: {column: outcome, values: {hazard: hazard, clutter: clutter}}
  group_id: {column: lane}
observed_at: {column: time, formats: [iso8601], precision: minute}
available_at: {delay_days: 1}
position: {latitude: lat, longitude: lon, precision_m: 5}
marking: {originator: BENCHMARK, releasable_to: [ALL], tlp: CLEAR}
simulated: true
"""
MEASURED = {
    "voltage": (0.0, 1.0, True),
    "height": (0.0, 1.0, True),
    "emi_in_phase": (-2.0, 2.0, False),
    "emi_quadrature": (-2.0, 2.0, False),
    "gpr_contrast": (0.0, 10.0, False),
}
COLUMNS = {"emi_in_phase": "emi_i", "emi_quadrature": "emi_q", "gpr_contrast": "gpr"}
SOUTH, NORTH, WEST, EAST = 9.0, 12.0, 19.0, 22.0


def make(folder: Path, rows: int) -> None:
    """Write `rows` detections of 12 columns, one in a thousand with a fault."""
    import duckdb

    connection = duckdb.connect()
    connection.sql("SET threads=2")
    connection.sql("SELECT setseed(0.7)")
    connection.sql(f"""
        COPY (
            SELECT 'd' || i AS id, 's' || (i % 50) AS sensor,
                strftime(TIMESTAMP '2020-01-01' + to_seconds(i), '%Y-%m-%dT%H:%M:%SZ') AS time,
                round(10 + random(), 6) AS lat, round(20 + random(), 6) AS lon,
                round(random(), 4) AS voltage,
                CASE WHEN i % 1000 = 7 THEN 9.0 ELSE round(random(), 3) END AS height,
                round(random() * 2 - 1, 4) AS emi_i, round(random() * 2 - 1, 4) AS emi_q,
                CASE WHEN random() < 0.05 THEN NULL ELSE round(random() * 5, 4) END AS gpr,
                CASE WHEN random() < 0.1 THEN 'hazard' ELSE 'clutter' END AS outcome, 'lane' || (i % 200) AS lane
            FROM range({rows}) numbers(i)
        ) TO '{folder / "detections.csv"}' (HEADER)
    """)
    (folder / "detections.yaml").write_text(MAPPING, encoding="utf-8")


def run_ingest(folder: Path) -> int:
    import pyarrow as pa

    from pipeline.ingest.mapping import read_mapping
    from pipeline.ingest.sources import Source
    from pipeline.ingest.staging import Staged, stage
    from pipeline.params import Bounds, Measured

    pa.set_cpu_count(2)
    measured = {name: Measured("1", low, high, required, "") for name, (low, high, required) in MEASURED.items()}
    mapping = read_mapping(folder / "detections.yaml", measured=measured)
    staged = Staged(folder / "staging")
    stage(Source("detections", mapping, Bounds(SOUTH, NORTH, WEST, EAST), measured, {}), staged, raw=folder)
    return int(staged.counts["kept"])


def run_duckdb_copy(folder: Path) -> int:
    import duckdb

    connection = duckdb.connect()
    connection.sql("SET threads=2")
    connection.sql("SET enable_progress_bar=false")
    csv, parquet = folder / "detections.csv", folder / "copy.parquet"
    connection.sql(f"COPY (SELECT * FROM read_csv('{csv}')) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)")
    return int(connection.sql(f"SELECT count(*) FROM '{parquet}'").fetchall()[0][0])


def run_pandas(folder: Path) -> int:
    import numpy as np
    import pandas as pd

    frame = pd.read_csv(folder / "detections.csv", dtype=str, keep_default_na=False)
    frame["raw_row"] = np.arange(1, len(frame) + 1)
    good = frame["id"].ne("") & frame["sensor"].ne("") & frame["lane"].ne("")
    made = {"detection_id": "detections:" + frame["id"], "record_id": frame["id"], "sensor_id": frame["sensor"]}
    observed = pd.to_datetime(frame["time"], format="ISO8601", errors="coerce", utc=True)
    good &= observed.notna()
    made |= {"observed_at": observed, "available_at": observed + pd.Timedelta(days=1)}
    for name, (low, high, required) in MEASURED.items():
        text = frame[COLUMNS.get(name, name)]
        values = pd.to_numeric(text, errors="coerce")
        good &= values.between(low, high) | (text.eq("") & (not required))
        made[name] = values.astype("float32")
    latitude, longitude = (pd.to_numeric(frame[name], errors="coerce") for name in ("lat", "lon"))
    good &= latitude.between(SOUTH, NORTH) & longitude.between(WEST, EAST)
    made |= {"latitude_deg": latitude, "longitude_deg": longitude}
    made["outcome"] = frame["outcome"].map({"hazard": "hazard", "clutter": "clutter"})
    good &= made["outcome"].notna()
    made |= {"group_id": frame["lane"], "raw_row": frame["raw_row"]}
    table = pd.DataFrame(made)
    for name, value in (
        ("source_id", "detections"),
        ("originator", "BENCHMARK"),
        ("tlp", "CLEAR"),
        ("simulated", True),
    ):
        table[name] = value
    frame[~good].to_parquet(folder / "pandas_quarantine.parquet")
    kept = table[good].drop_duplicates(["record_id", "available_at"])
    kept.to_parquet(folder / "pandas.parquet", compression="zstd")
    return len(kept)


RUNS = {"ingest": run_ingest, "duckdb_copy": run_duckdb_copy, "pandas": run_pandas}


def measured(name: str, folder: Path) -> dict[str, float]:
    """Run one in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"seconds": float("nan"), "peak_mib": float("nan"), "rows": 0}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--only", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        started = time.perf_counter()
        rows = RUNS[arguments.only](arguments.folder)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": peak, "rows": rows}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, arguments.rows)
        results = {run: measured(run, folder) for run in ("duckdb_copy", "ingest", "pandas")}
    print(f"{arguments.rows:,} detections, 12 columns, CSV to Parquet")
    print(f"{'':12} {'seconds':>9} {'rows/s':>12} {'peak MiB':>9} {'rows out':>12}")
    for run, result in results.items():
        rate = arguments.rows / result["seconds"]
        print(f"{run:12} {result['seconds']:9.1f} {rate:12,.0f} {result['peak_mib']:9.0f} {result['rows']:12,.0f}")
    ours = results["ingest"]["seconds"]
    ratios = {
        run: round(ours / results[run]["seconds"], 3) for run in ("duckdb_copy", "pandas") if results[run]["rows"]
    }
    peaks = {run: round(result["peak_mib"]) for run, result in results.items() if result["rows"]}
    print(json.dumps({"benchmark": "ingest", "ratios": ratios, "peak_mib": peaks}))


if __name__ == "__main__":
    main()
