"""Detections, CSV to Parquet: this ingest with all its rules, DuckDB's plain copy (the floor), pandas with our rules.

``python benchmarks/ingest.py [--rows 20000000]``: each runs in a process of its own, on two threads; the copy and this
ingest by turns. pandas holds the whole file in memory, so it reads the first `--pandas-rows` of it, and is compared by
the row. The table goes to standard output, its last line is JSON.
"""

import argparse
import json
import os
import resource
import shutil
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
    connection.sql("SET enable_progress_bar=false")
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

    from pipeline.ingest.mapping.mapping import read_mapping
    from pipeline.ingest.rules.source import Source
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


def run_pandas(folder: Path, rows: int) -> int:
    import numpy as np
    import pandas as pd

    frame = pd.read_csv(folder / "detections.csv", dtype=str, keep_default_na=False, nrows=rows)
    refusals: list[tuple[str, pd.Series]] = []

    def refuse(rule: str, bad: pd.Series) -> None:
        refusals.append((rule, bad))

    for name in frame.columns:
        refuse("nul_byte", frame[name].str.contains("\0", regex=False))
    for name in ("id", "sensor", "lane", "time"):
        refuse("missing_value", frame[name].str.strip().eq(""))
    observed = pd.to_datetime(frame["time"], format="ISO8601", errors="coerce", utc=True).dt.floor("min")
    available = observed + pd.Timedelta(days=1, minutes=1)
    refuse("date", observed.isna())
    refuse("future_date", observed > available)
    made = {"detection_id": "detections:" + frame["id"], "record_id": frame["id"], "sensor_id": frame["sensor"]}
    made |= {"observed_at": observed, "available_at": available}
    for name, (low, high, required) in MEASURED.items():
        text = frame[COLUMNS.get(name, name)]
        values = pd.to_numeric(text, errors="coerce")
        refuse("number", values.isna() & (text.ne("") | required))
        refuse("range", values.notna() & ~values.between(low, high))
        made[name] = values.astype("float32")
    latitude, longitude = (pd.to_numeric(frame[name], errors="coerce") for name in ("lat", "lon"))
    refuse("missing_value", latitude.isna() | longitude.isna())
    refuse("zero_position", latitude.eq(0) & longitude.eq(0))
    refuse("position_range", ~latitude.between(-90, 90) | ~longitude.between(-180, 180))
    refuse("outside_theatre", ~latitude.between(SOUTH, NORTH) | ~longitude.between(WEST, EAST))
    made |= {"latitude_deg": latitude, "longitude_deg": longitude, "location_precision_m": np.float32(5)}
    made["outcome"] = frame["outcome"].map({"hazard": "hazard", "clutter": "clutter"})
    refuse("unmapped_value", made["outcome"].isna())
    made |= {"group_id": frame["lane"], "raw_row": np.arange(1, len(frame) + 1), "raw_file": "detections.csv"}
    made |= {"source_id": "detections", "originator": "BENCHMARK", "tlp": "CLEAR", "simulated": True}
    made |= {"modality": "magnetometer", "outcome_at": pd.NaT, "releasable_to": [("ALL",)] * len(frame)}
    rule = pd.Series("", index=frame.index)
    for name, bad in reversed(refusals):  # the first rule that a record breaks is the one that is told
        rule[bad.fillna(True)] = name
    good = rule.eq("")
    refused = frame[~good]
    told = {"raw_row": made["raw_row"][~good], "rule": rule[~good]}
    told["row"] = [json.dumps(row) for row in refused.to_dict("records")]
    pd.DataFrame(told).to_parquet(folder / "pandas_quarantine.parquet", compression="zstd")
    kept = pd.DataFrame(made)[good]
    several = kept["record_id"].duplicated(keep=False)  # versions: the later report closes the earlier
    versions = kept[several].sort_values(["record_id", "available_at", "raw_row"])
    closed = versions.groupby("record_id")["available_at"].shift(-1)
    kept = kept.assign(superseded_at=closed.reindex(kept.index))
    kept.to_parquet(folder / "pandas.parquet", compression="zstd")
    return len(kept)


RUNS = {"duckdb_copy": run_duckdb_copy, "ingest": run_ingest, "pandas": run_pandas}


def measured(name: str, folder: Path, rows: int) -> dict[str, float]:
    """Run one in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--folder", str(folder), "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_one(name: str, folder: Path, rows: int) -> dict[str, float]:
    """Run one in this process; time what follows the imports that all share."""
    shutil.rmtree(folder / "staging", ignore_errors=True)
    started = time.perf_counter()
    out = run_pandas(folder, rows) if name == "pandas" else RUNS[name](folder)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
        "rows": out,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--pandas-rows", type=int, default=4_000_000, help="what pandas holds in memory at once")
    parser.add_argument("--repeats", type=int, default=3, help="of the copy and this ingest, by turns; the best counts")
    parser.add_argument("--only", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(run_one(arguments.only, arguments.folder, arguments.rows)))
        return
    rows = {"duckdb_copy": arguments.rows, "ingest": arguments.rows}
    rows["pandas"] = min(arguments.rows, arguments.pandas_rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, arguments.rows)
        turns = [*(["duckdb_copy", "ingest"] * arguments.repeats), "pandas"]
        runs = [(run, measured(run, folder, rows[run])) for run in turns]
    best = {name: min((r for run, r in runs if run == name), key=lambda r: r["seconds"]) for name in rows}
    print(f"{arguments.rows:,} detections, 12 columns, CSV to Parquet; load {os.getloadavg()[1]:.1f}")
    print(f"{'':12} {'rows in':>12} {'rows out':>12} {'seconds':>9} {'CPU s':>9} {'CPU us/row':>11} {'peak MiB':>9}")
    for run, result in best.items():
        print(
            f"{run:12} {rows[run]:12,} {result['rows']:12,.0f} {result['seconds']:9.1f} {result['cpu_seconds']:9.1f} "
            f"{1e6 * result['cpu_seconds'] / rows[run]:11.2f} {result['peak_mib']:9.0f}"
        )

    def ratio(run: str, clock: str) -> float:
        """Return our time per row over another's."""
        return round(best["ingest"][clock] / rows["ingest"] / (best[run][clock] / rows[run]), 3)

    others = ("duckdb_copy", "pandas")
    ratios = {run: ratio(run, "seconds") for run in others}
    cpu_ratios = {run: ratio(run, "cpu_seconds") for run in others}
    peaks = {run: round(result["peak_mib"]) for run, result in best.items()}
    print(json.dumps({"benchmark": "ingest", "ratios": ratios, "cpu_ratios": cpu_ratios, "peak_mib": peaks}))


if __name__ == "__main__":
    main()
