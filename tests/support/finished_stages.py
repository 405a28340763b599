"""What the stages would have left of one small sensor model, written in a second, for tests of what reviewers see."""

import dataclasses

import lightgbm
import numpy as np
import onnx
import pyarrow as pa
from scipy.special import expit
from support import fit_records, tiny_bundle
from support.made_features import feature

from pipeline import params
from pipeline.evaluate.comparison import compare
from pipeline.evaluate.folds import by_fold
from pipeline.model.catalogue import Catalogue
from pipeline.model.fit_record import write_fit
from pipeline.model.parity_report import ComparedRows, OperatingPoints, ParityReport
from pipeline.model.skill_records import Comparison, Metrics, write_metrics
from pipeline.storage import records, store
from pipeline.storage.ingest_report import IngestReport, SourceCounts
from pipeline.storage.marking import Marking
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.schemas import UTC
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import skill

ROWS, GROUPS = 600, 12
MARKING = {"originator": "COMMAND", "releasable_to": ["COMMAND", "MINE_ACTION"], "tlp": "AMBER"}
MODEL = "sensor_threat"
PART = "magnetometer_emi_gpr"


def write(*, seed: int = 1, noise: float = 0.5, overconfident: float = 1.0, marking: dict | None = None) -> str:
    """Write the files into the working folder; return the dataset's name.

    The rows and their labels are always the same. `noise` blurs the held-out log-odds, `overconfident` multiplies
    them, `seed` makes another booster.
    """
    paths = DatasetPaths("simulated")
    signal, label, height = _alarms()
    features = {"voltage": signal.astype(np.float32), "height": height.astype(np.float32)}
    ids = [f"d{i:04}" for i in range(ROWS)]
    table = pa.table({"detection_id": ids, **features})
    store.write_table(table, paths.features(MODEL), schema=table.schema, sort_by=("detection_id",))
    catalogue = Catalogue(features=tuple(map(feature, features)), marking=Marking.of(MARKING), rows={})
    catalogue.write(paths.catalogue(MODEL))
    _fit(paths, features, label, seed, marking or MARKING)

    log_odds = _log_odds(signal, noise, overconfident, seed)
    groups = [f"L{i % GROUPS:02}" for i in range(ROWS)]
    held_out = pa.table({"detection_id": ids, "group_id": groups, "fold": groups, "label": label, "log_odds": log_odds})
    store.write_table(
        held_out, paths.model(MODEL) / "heldout.parquet", schema=held_out.schema, sort_by=("detection_id",)
    )
    evaluate(noise=noise, overconfident=overconfident, seed=seed)
    points = pa.table({"predicted": [0.1, 0.5, 0.9], "observed": [0.12, 0.48, 0.91], "rows": [200, 200, 200]})
    store.write_csv(points, paths.evaluation(MODEL) / "reliability.csv")
    paths.onnx(MODEL).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(tiny_bundle.model(None, 2), paths.onnx(MODEL))
    compared = ComparedRows(rows=100, leaves=300, wrong_leaves=0, probability_difference=1e-7, log_odds_difference=2e-7)
    report = ParityReport(
        variant="field",
        oldest_onnxruntime="1.16.3",
        onnx_bytes=paths.onnx(MODEL).stat().st_size,
        trees=3,
        tolerance=1e-6,
        rows={"random": compared},
        operating_points=OperatingPoints(evaluated={"pd_90": 0.2}, exported={"pd_90": 0.2}),
    )
    records.write(report, paths.parity(MODEL))
    counts = SourceCounts(
        table="detections",
        about="Alarms. Of sensors.",
        rows_in=612,
        kept=600,
        merged=0,
        quarantined=12,
        repeats=0,
        withdrawals=0,
        corrections=0,
        rules={"range": 12},
    )
    records.write(IngestReport.of({"sim_command_detections": counts}, None), paths.ingested)
    observed = np.datetime64("2022-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "h")
    times = {"observed_at": observed, "available_at": observed + np.timedelta64(12, "h")}
    detections = pa.table(
        {
            "detection_id": ids,
            "source_id": ["sim_command_detections"] * ROWS,
            "record_id": ids,
            **{name: pa.array(column, UTC) for name, column in times.items()},
            "superseded_at": pa.nulls(ROWS, UTC),
        }
    )
    store.write_table(
        detections, paths.tables / "detections.parquet", schema=detections.schema, sort_by=("detection_id",)
    )
    return "simulated"


def evaluate(*, noise: float = 0.5, overconfident: float = 1.0, seed: int = 1) -> None:
    """Write the metrics alone; the arguments are those of `write`."""
    signal, label, _ = _alarms()
    log_odds = _log_odds(signal, noise, overconfident, seed)
    blurred = signal + np.random.default_rng(99).normal(size=ROWS) * 2
    probability = {
        "lightgbm": expit(log_odds),
        "base_rate": np.full(ROWS, label.mean()),
        "logistic_regression": expit(blurred * 0.5 - 0.5),
        "oracle": expit(signal),
    }
    settings = params.load().evaluate
    hazard, group = label == 1, np.array([f"L{i % GROUPS:02}" for i in range(ROWS)])
    measured = {name: skill(hazard, p, bins=10) for name, p in probability.items()}
    draws = BlockDraws.of(group, samples=settings.bootstrap_samples, seed=settings.seed)
    compared = compare(hazard, probability, measured, draws)
    folds = by_fold(hazard, probability, group, group, settings, rounds={})
    metrics = Metrics(comparisons={PART: Comparison(**vars(compared), folds=folds)}, operating_points={"pd_90": 0.2})
    write_metrics(metrics, DatasetPaths("simulated").evaluation(MODEL) / "metrics.json")


def _alarms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the true log-odds, the label and the height of each alarm."""
    truth = np.random.default_rng(0)
    signal = truth.normal(size=ROWS) * 2 - 1
    return signal, (truth.random(ROWS) < expit(signal)).astype(np.int8), truth.random(ROWS)


def _log_odds(signal: np.ndarray, noise: float, overconfident: float, seed: int) -> np.ndarray:
    return overconfident * (signal + np.random.default_rng(seed).normal(size=ROWS) * noise)


def _fit(paths: DatasetPaths, features: dict, label: np.ndarray, seed: int, marking: dict) -> None:
    quick = {"objective": "binary", "num_threads": 1, "verbose": -1, "seed": seed, "min_data_in_leaf": 5 + seed}
    rows = np.column_stack(list(features.values()))
    booster = lightgbm.train(quick, lightgbm.Dataset(rows, label=label, feature_name=list(features)), 3)
    folder = paths.model(MODEL)
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / "model.txt")
    fit = fit_records.sensor_fit(
        features=list(features),
        rows=ROWS,
        positives=int(label.sum()),
        base_rate=float(label.mean()),
        features_digest=store.digest(paths.features(MODEL)),
        marking=Marking.of(marking),
    )
    write_fit(dataclasses.replace(fit, params=dataclasses.replace(fit.params, seed=seed)), folder / "fit.json")
