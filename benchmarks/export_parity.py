"""Our exporter and onnxmltools on the same boosters and rows: how many rows each gets wrong, and at what cost.

The peer is not in the project's lock. To have it beside the project's own libraries:

    pip install --no-deps --target peers onnxmltools==1.16.0 skl2onnx==1.20.0 onnxconverter-common
    PYTHONPATH=peers python benchmarks/export_parity.py [--rows N] [--write FOLDER]

Without it the table has our columns only. ``--write`` leaves the models, rows and expected values in a folder, for
``benchmarks/export_elsewhere.py`` to try under another onnxruntime.
"""

import argparse
import json
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort

from pipeline.export.explanations import expected_log_odds
from pipeline.export.gate.leaf_index_graph import leaf_index_graph
from pipeline.export.gate.parity import session
from pipeline.export.gate.reference import Reference
from pipeline.export.gate.rows import RealColumns, adversarial_rows, threshold_rows
from pipeline.export.graph import build
from pipeline.export.trees import ModelNotExportable, parse
from pipeline.model.log_odds import CalibratedLogOdds

WRONG = 1e-4  # a probability further off than this is counted
QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 7}


@dataclass(frozen=True)
class Kind:
    """One kind of booster."""

    name: str
    params: dict[str, Any]
    rounds: int = 200
    categorical: bool = False
    large_values: bool = False
    missing: bool = True


KINDS = (
    Kind("numeric, 200 x 31", {"num_leaves": 31}),
    Kind("categorical, 200 x 31", {"num_leaves": 31}, categorical=True),
    Kind("values near 1.7e9, 200 x 31", {"num_leaves": 31}, large_values=True),
    Kind("zero_as_missing", {"num_leaves": 31, "zero_as_missing": True}, rounds=100),
    Kind("sigmoid 2", {"num_leaves": 31, "sigmoid": 2.0}, rounds=100),
    Kind("random forest", {"num_leaves": 31, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, rounds=100),
    Kind("dart", {"num_leaves": 31, "boosting": "dart"}, rounds=100),
    Kind("linear trees", {"num_leaves": 15, "linear_tree": True}, rounds=20, missing=False),
)


def main() -> None:
    """Print the table, and as the last line its figures as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=100_000, help="random rows (default 100000)")
    arguments.add_argument("--write", type=Path, metavar="FOLDER", help="leave models, rows and expected values there")
    given = arguments.parse_args()
    convert_by_peer = _peer()
    warnings.simplefilter("ignore")  # the peer's
    print(f"onnxruntime {ort.__version__}, lightgbm {lgb.__version__}, {given.rows:,} random rows a model, one thread")
    print("wrong: rows whose probability is off by more than 1e-4 (and the largest difference)\n")
    print(
        "| booster | rows | ours: wrong leaves | ours: wrong | onnxmltools: wrong | bytes, ours / theirs | "
        "scoring time, ours / theirs | export time, ours / theirs |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    ratios: dict[str, float] = {}
    for kind in KINDS:
        _compare(kind, given.rows, convert_by_peer, given.write, ratios)
    print(f"\n{_explanations()}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"benchmark": "export_parity", "ratios": ratios, "peak_mib": {"whole_run": round(peak, 1)}}))


def _compare(
    kind: Kind, count: int, convert_by_peer: Callable[..., Any] | None, folder: Path | None, ratios: dict[str, float]
) -> None:
    booster, real = _fit(kind)
    text = booster.model_to_string()
    rng = np.random.default_rng(1)
    theirs, their_seconds = _timed(lambda: convert_by_peer(booster, real.shape[1])) if convert_by_peer else (None, 0.0)
    try:
        forest, our_seconds = _timed(lambda: parse(text))
    except ModelNotExportable as reason:
        random = RealColumns.of(real).random(count, rng)
        wrong = _wrong(theirs, random, booster) if theirs else "-"
        print(f"| {kind.name} | random | refused | {reason} | {wrong} | - | - | - |")
        return
    reference = Reference(booster, forest, CalibratedLogOdds())
    ours, seconds = _timed(lambda: build(forest, CalibratedLogOdds(), name="model"))
    our_seconds += seconds
    near = real[rng.choice(len(real), 5000)]
    rows = {
        "random": RealColumns.of(real).random(count, rng),
        "at thresholds": threshold_rows(forest, near, reference.leaves(near)),
        "adversarial": adversarial_rows(forest, 50_000, rng),
    }
    costs = " - | - | -"
    if theirs:
        batch = rows["random"][:20_000]
        scoring = _ratio(session(ours), session(theirs), batch)
        size = ours.ByteSize() / theirs.ByteSize()
        ratios[f"onnxmltools: bytes, {kind.name}"] = round(size, 3)
        ratios[f"onnxmltools: scoring, {kind.name}"] = round(scoring, 3)
        ratios[f"onnxmltools: export, {kind.name}"] = round(our_seconds / their_seconds, 4)
        sizes = f"{ours.ByteSize() / 1e6:.2f} / {theirs.ByteSize() / 1e6:.2f} MB"
        costs = f"{sizes} | {scoring:.2f} x | {our_seconds:.2f} / {their_seconds:.2f} s"
    indices = leaf_index_graph(ours, forest)
    for name, matrix in rows.items():
        leaves = _wrong_leaves(indices, reference, matrix)
        print(
            f"| {kind.name} | {len(matrix):,} {name} | {leaves:,} of {len(matrix) * forest.n_trees:,} | "
            f"{_wrong(ours, matrix, booster)} | {_wrong(theirs, matrix, booster) if theirs else '-'} | {costs} |",
            flush=True,
        )
        costs = " | | "
    if folder:
        _leave(folder / kind.name.split(",")[0].replace(" ", "_"), indices, reference, rows)


def _explanations() -> str:
    """Compare the contributions in the graph with TreeSHAP's on one model."""
    booster, real = _fit(KINDS[0])
    rows = real[:1000]
    model = session(
        build(parse(booster.model_to_string()), CalibratedLogOdds(), name="model", typical=np.zeros(real.shape[1]))
    )
    ours = model.run(["contributions"], {"features": rows, "explain": np.array(True)})[0]
    shap = booster.predict(rows, pred_contrib=True)[:, :-1]
    same = (np.abs(ours).argmax(axis=1) == np.abs(shap).argmax(axis=1)).mean()
    correlation = np.corrcoef(ours.ravel(), shap.ravel())[0, 1]
    apart = np.abs(ours - shap).mean() / np.abs(shap).mean()
    return (
        f"explanations against TreeSHAP, {KINDS[0].name}, {len(rows):,} rows: same strongest feature in {same:.0%}, "
        f"correlation {correlation:.3f}, mean difference {apart:.0%} of the mean size"
    )


def _fit(kind: Kind) -> tuple[lgb.Booster, np.ndarray]:
    rng = np.random.default_rng(0)
    n = 20_000
    x = rng.normal(size=(n, 20)).astype(np.float32)
    x[rng.random(n) < 0.2, 3] = 0
    if kind.missing:
        x[:, :4][rng.random((n, 4)) < 0.15] = np.nan
    if kind.large_values:
        x[:, 4:8] = (1.7e9 + 1e5 * x[:, 4:8]).astype(np.float32)
    if kind.categorical:
        x[:, -3:] = np.stack([rng.integers(0, codes, n) for codes in (12, 50, 300)], axis=1)
    z = np.nan_to_num(x).astype(np.float64)
    z[:, 4:8] -= z[:, 4:8].mean(axis=0)
    z[:, 4:8] /= z[:, 4:8].std(axis=0)
    signal = z[:, 0] + z[:, 4] * z[:, 5] + np.sin(2 * z[:, 6]) + (z[:, 3] == 0)
    if kind.categorical:
        signal = signal + (x[:, -1] % 7 < 3) + (x[:, -2] % 5 == 0)
    y = signal + rng.normal(size=n) > 0.5
    columns = [17, 18, 19] if kind.categorical else "auto"
    data = lgb.Dataset(x, y.astype(int), categorical_feature=columns)
    booster = lgb.train({"objective": "binary", **QUIET, **kind.params}, data, kind.rounds)
    return booster, x


def _peer() -> Callable[[lgb.Booster, int], onnx.ModelProto] | None:
    try:
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType
    except ImportError:
        return None

    def convert(booster: lgb.Booster, features: int) -> onnx.ModelProto:
        shape = [("features", FloatTensorType([None, features]))]
        model: onnx.ModelProto = convert_lightgbm(booster, initial_types=shape, zipmap=False, target_opset=15)
        return model

    return convert


def _probability(model: ort.InferenceSession, rows: np.ndarray) -> np.ndarray:
    names = [output.name for output in model.get_outputs()]
    got = model.run(["probability" if "probability" in names else "probabilities"], {"features": rows})[0]
    return np.asarray(got)[:, -1].astype(np.float64)


def _wrong(model: onnx.ModelProto, rows: np.ndarray, booster: lgb.Booster) -> str:
    difference = np.abs(_probability(session(model), rows) - booster.predict(rows))
    wrong = int((difference > WRONG).sum())
    return f"{wrong:,} ({difference.max():.1e})"


def _wrong_leaves(indices: onnx.ModelProto, reference: Reference, rows: np.ndarray) -> int:
    opened = session(indices)
    wrong = 0
    for start in range(0, len(rows), 20_000):
        part = rows[start : start + 20_000]
        wrong += int((opened.run(None, {"features": part})[0] != reference.leaves(part)).sum())
    return wrong


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _ratio(ours: ort.InferenceSession, theirs: ort.InferenceSession, rows: np.ndarray) -> float:
    """Return our scoring time over theirs: the median of five rounds, taken in turns."""

    def seconds(model: ort.InferenceSession) -> float:
        return _timed(lambda: _probability(model, rows))[1]

    return float(np.median([seconds(ours) / seconds(theirs) for _ in range(5)]))


def _leave(folder: Path, indices: onnx.ModelProto, reference: Reference, rows: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    forest, some = reference.forest, np.concatenate([matrix[:5000] for matrix in rows.values()])
    onnx.save(build(forest, CalibratedLogOdds(), name="model", typical=np.zeros(some.shape[1])), folder / "model.onnx")
    onnx.save(indices, folder / "leaf_indices.onnx")
    log_odds = reference.log_odds(some)
    expected = {"leaves": reference.leaves(some), "log_odds": log_odds, "expected_log_odds": expected_log_odds(forest)}
    np.savez_compressed(folder / "rows.npz", features=some, **expected)


if __name__ == "__main__":
    main()
