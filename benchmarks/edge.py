"""The scorer beside a bare onnxruntime session and LightGBM: one row at a time, cold start, memory, idle load.

    python benchmarks/edge.py [--models models/simulated] [--rows 2000] [--ticks 40] [--starts 7]

One thread each, the contestants in turns within every round of 50 rows, over rows that are all different. A time is the
median of the rounds; a ratio is the median of the rounds' own ratios. Warm times are of the processor (nobody waits for
anything), as other work on the machine would cut into the clock's; those at the pace of a sensor are of the clock.
Without exported models only the trained ones are measured. `lleaves` takes part where it is installed.
"""

import argparse
import base64
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import helper

from pipeline.export.graph import build
from pipeline.export.trees import parse
from pipeline.model.log_odds import CalibratedLogOdds
from pipeline.sign import keys, release
from pipeline.sign.keys import Signer
from pipeline.sign.release import Decision
from threat_scorer import Scorer
from threat_scorer.bundle import trust as trusts
from threat_scorer.bundle.trust import Key, Trust
from threat_scorer.device.provisioning import provision
from threat_scorer.device.slots import install
from threat_scorer.marking import Marking
from threat_scorer.scoring import contract as contracts
from threat_scorer.scoring import golden as goldens
from threat_scorer.scoring.contract import Contract, Input
from threat_scorer.scoring.features import assemble
from threat_scorer.scoring.golden import Golden

PASSES = 3
BLOCK = 50
"""Rows in a round."""
CADENCE_S = 0.05
IDLE_ROWS = 100
HEADLINES = ("numeric, 200 x 31", "numeric, 500 x 63")
"""The models behind the ratios `bare_session` and `lightgbm_single`; all others have keys with their own names."""
QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 7}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SERVICE = {**ENVIRONMENT, "PYTHONOPTIMIZE": "2"}
"""As in the systemd unit."""


@dataclass(frozen=True)
class Case:
    """One model, as a bundle and as a booster."""

    name: str
    bundle: Path
    model: str
    booster_file: Path


def main() -> None:
    """Print the tables, and as the last line their figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models/simulated"), help="folder that `export` filled")
    parser.add_argument("--rows", type=int, default=2000, help="different rows (default 2000)")
    parser.add_argument("--ticks", type=int, default=40, help="rows of each contestant at cadence (default 40)")
    parser.add_argument("--starts", type=int, default=7, help="cold starts of each (default 7)")
    given = parser.parse_args()
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="edge-") as scratch:
        cases = [*_shipped(given.models), *_trained(Path(scratch))]
        print(f"onnxruntime {ort.__version__}, lightgbm {lgb.__version__}, one thread\n")
        print("Microseconds for one row, warm | one row every 50 ms, caches cold\n")
        print("| model | Scorer, dict in | bare session | Booster.predict | fast single row | lleaves |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for case in cases:
            ratios |= _compare(case, given.rows, given.ticks)
        for key in ("bare_session", "lightgbm_single"):
            ratios[key] = max(ratios[f"{key}: {name}"] for name in HEADLINES)
            print(f"{key}: {ratios[key]:.2f}, the worse of {' and '.join(HEADLINES)}")
        ratios["cold_start"], memory, ratios["idle_share_of_core"] = _whole_process(
            cases[0], Path(scratch), given.starts
        )
    figures = {name: round(value, 4) for name, value in ratios.items()}
    print(json.dumps({"benchmark": "edge", "ratios": figures, "peak_mib": memory}))


def _shipped(models: Path) -> list[Case]:
    bundle = models / "bundle"
    found = [path.stem for path in sorted(bundle.glob("*.onnx"), reverse=True)]
    if not found:
        print(f"{bundle}: no exported models; only the trained ones are measured", file=sys.stderr)
    return [Case(f"{name}, shipped", bundle, name, models / name / "model.txt") for name in found]


def _trained(folder: Path) -> list[Case]:
    """Train boosters of known size on random data, and export them as the pipeline does."""
    return [
        _train(folder, "numeric, 200 x 31", leaves=31, rounds=200, codes=0),
        _train(folder, "numeric, 500 x 63", leaves=63, rounds=500, codes=0),
        _train(folder, "categorical, 200 x 31", leaves=31, rounds=200, codes=12),
    ]


def _train(folder: Path, name: str, *, leaves: int, rounds: int, codes: int) -> Case:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 20)).astype(np.float32)
    if codes:
        x[:, -3:] = rng.integers(0, codes, size=(len(x), 3))
    signal = x[:, 0] + x[:, 4] * x[:, 5] + np.sin(2 * x[:, 6]) + (x[:, -1] % 3 < 1)
    y = signal + rng.normal(size=len(x)) > 0.5
    data = lgb.Dataset(x, y.astype(int), categorical_feature=[17, 18, 19] if codes else "auto")
    booster = lgb.train({"objective": "binary", "num_leaves": leaves, **QUIET}, data, rounds)
    bundle = folder / name.replace(" ", "").replace(",", "-")
    bundle.mkdir()
    (bundle / "model.txt").write_text(booster.model_to_string())
    exported = build(parse(booster.model_to_string()), CalibratedLogOdds(), name="model")
    contract = _contract(x)
    helper.set_model_props(exported, {contracts.KEY: contract.to_json(), goldens.KEY: _golden(exported, x).to_json()})
    onnx.save(exported, bundle / "area_risk_28d.onnx")
    return Case(name, bundle, "area_risk_28d", bundle / "model.txt")


def _contract(x: np.ndarray) -> Contract:
    inputs = tuple(
        Input(f"input_{i:02d}", "1", float(column.min()), float(column.max()), required=True)
        for i, column in enumerate(x.T)
    )
    digest = "sha256:" + "0" * 64
    return Contract(
        model="area_risk_28d",
        dataset="benchmark",
        simulated=True,
        inputs=inputs,
        features=assemble("area_risk_28d", {entry.name: [0.0] for entry in inputs})[0],
        groups=tuple(entry.name for entry in inputs),
        operating_points={"even": 0.5},
        base_rate=0.5,
        takes_prior=False,
        uncertainty=None,
        horizon_days=28,
        training_data_digest=digest,
        booster_digest=digest,
        params_digest=digest,
        marking=Marking("BENCHMARK", ("ALL",), "CLEAR"),
    )


def _golden(exported: onnx.ModelProto, x: np.ndarray) -> Golden:
    probability, log_odds = ort.InferenceSession(exported.SerializeToString()).run(
        ["probability", "log_odds"], {"features": x[:32]}
    )
    return Golden(x[:32], probability[:, 0], log_odds[:, 0])


def _compare(case: Case, rows: int, ticks: int) -> dict[str, float]:
    """Print one line of the table; return the Scorer's ratios to the others."""
    scorer = Scorer.load(case.bundle)
    records = _records(scorer.contracts[case.model], rows)
    matrix = _matrix(case.model, scorer.contracts[case.model], records)
    contestants = _contestants(case, scorer, records, matrix)
    blocks = [range(start, start + BLOCK) for start in range(0, rows - BLOCK + 1, BLOCK)] * PASSES
    warm = {name: np.empty(len(blocks)) for name in contestants}
    for i, block in enumerate(blocks):
        for name, score in contestants.items():
            start = time.thread_time()
            for row in block:
                score(row)
            warm[name][i] = (time.thread_time() - start) / BLOCK
    cold = {name: np.empty(ticks) for name in contestants}
    for tick in range(ticks):
        for name, score in contestants.items():
            time.sleep(CADENCE_S)
            start = time.perf_counter()
            score(tick)
            cold[name][tick] = time.perf_counter() - start
    cells = [
        f"{1e6 * np.median(warm[name]):.1f} | {1e6 * np.median(cold[name]):.0f}".replace(" | ", " / ")
        if name in warm
        else "-"
        for name in ("scorer", "bare", "predict", "fast", "lleaves")
    ]
    print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
    pairs = {"bare_session": "bare", "lightgbm_single": "predict", "lightgbm_fast": "fast", "lleaves": "lleaves"}
    return {
        f"{key}{kind}: {case.name}": float(np.median(times["scorer"] / times[other]))
        for key, other in pairs.items()
        for kind, times in (("", warm), (" at cadence", cold))
        if other in warm
    }


def _contestants(
    case: Case, scorer: Scorer, records: list[dict[str, float]], matrix: np.ndarray
) -> Mapping[str, Callable[[int], Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = ort.InferenceSession(str(case.bundle / f"{case.model}.onnx"), options, providers=["CPUExecutionProvider"])
    booster = lgb.Booster(model_file=case.booster_file)
    single = [matrix[i : i + 1] for i in range(len(matrix))]
    doubles = matrix.astype(np.float64)
    contestants: dict[str, Callable[[int], Any]] = {
        "scorer": lambda i: scorer.score_record(case.model, records[i]),
        "bare": lambda i: session.run(["probability"], {"features": single[i]}),
        "predict": lambda i: booster.predict(doubles[i : i + 1], num_threads=1),
        "fast": _fast_single_row(booster, doubles),
    }
    with suppress(ImportError):
        import lleaves  # type: ignore[import-not-found,unused-ignore]

        compiled = lleaves.Model(model_file=str(case.booster_file))
        compiled.compile()
        contestants["lleaves"] = lambda i: compiled.predict(doubles[i : i + 1], n_jobs=1)
    return contestants


def _fast_single_row(booster: lgb.Booster, matrix: np.ndarray) -> Callable[[int], float]:
    """Return LightGBM's own fast path for one row, of its C API, with everything prepared beforehand."""
    library, configuration = lgb.basic._LIB, ctypes.c_void_p()
    library.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster._handle, 0, 0, -1, 1, matrix.shape[1], b"num_threads=1", ctypes.byref(configuration)
    )
    out, length = ctypes.c_double(), ctypes.c_int64()
    width, start = matrix.shape[1] * matrix.itemsize, matrix.ctypes.data

    def score(i: int) -> float:
        library.LGBM_BoosterPredictForMatSingleRowFast(
            configuration, ctypes.c_void_p(start + i * width), ctypes.byref(length), ctypes.byref(out)
        )
        return out.value

    return score


def _records(contract: Contract, count: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(1)
    low, high = (np.array([getattr(entry, side) for entry in contract.inputs]) for side in ("low", "high"))
    names = [entry.name for entry in contract.inputs]
    return [dict(zip(names, row, strict=True)) for row in rng.uniform(low, high, (count, len(names))).tolist()]


def _matrix(model: str, contract: Contract, records: list[dict[str, float]]) -> np.ndarray:
    columns = {entry.name: [record[entry.name] for record in records] for entry in contract.inputs}
    return assemble(model, columns)[1]


def _whole_process(case: Case, scratch: Path, starts: int) -> tuple[float, dict[str, float], float]:
    """Measure what only a process shows: cold start over LightGBM's, resident MiB, share of a core when idle."""
    contract = Scorer.load(case.bundle).contracts[case.model]
    records = _records(contract, 2000)
    device = _signed_device(case, contract, scratch)
    record, row = records[0], _matrix(case.model, contract, records[:1])[0].tolist()
    ours = (
        "from datetime import UTC, datetime\nfrom pathlib import Path\nfrom threat_scorer.device import slots\n"
        f"scorer = slots.load(Path({str(device)!r}), now=datetime.now(UTC)).scorer\n"
        f"print(scorer.score_record({case.model!r}, {record!r}).probability)"
    )
    theirs = (
        "import lightgbm\nimport numpy\n"
        f"booster = lightgbm.Booster(model_file={str(case.booster_file)!r})\n"
        f"print(booster.predict(numpy.array([{row!r}]), num_threads=1)[0])"
    )
    seconds = np.array([[_timed(code) for code in (ours, theirs)] for _ in range(starts + 1)])[1:]
    ratio = float(np.median(seconds[:, 0] / seconds[:, 1]))
    ms = 1000 * np.median(seconds, axis=0)
    print(f"cold start: {ms[0]:.0f} ms with the signature verified; LightGBM alone, unverified: {ms[1]:.0f} ms")
    alone = _resident_mib(case, records)
    service, idle = _running(device, case, records)
    print(f"resident: {alone:.0f} MiB for a process with the Scorer alone, {service:.0f} for `threat-scorer run`,")
    print(f"  each after {len(records):,} rows; `run` at ten rows a second takes {100 * idle:.2f} % of a core")
    return ratio, {"scorer": round(alone, 1), "run": round(service, 1)}, idle


def _resident_mib(case: Case, records: list[dict[str, float]]) -> float:
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom threat_scorer import Scorer\n"
        f"scorer = Scorer.load({str(case.bundle)!r})\n"
        f"for line in sys.stdin:\n    scorer.score_record({case.model!r}, json.loads(line))\n"
        "print(Path('/proc/self/status').read_text())"
    )
    lines = "".join(json.dumps(record) + "\n" for record in records)
    told = subprocess.run(
        [sys.executable, "-c", code], input=lines, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return _vm_rss_mib(told.stdout)


def _vm_rss_mib(status: str) -> float:
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _timed(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _signed_device(case: Case, contract: Contract, scratch: Path) -> Path:
    """Sign the case's bundle with keys made for it, and install it on a device that is a folder."""
    now = datetime.now(UTC)
    root, signer = _new_signer(), _new_signer()
    listed = ((root, "root"), (signer, "bundle"))
    trusted = tuple(Key(base64.b64encode(one.public_key).decode("ascii"), role, False) for one, role in listed)
    trust_file, signed, device = scratch / "trust.json", scratch / "edge.bundle", scratch / "device"
    trust_file.write_bytes(
        keys.sign(trusts.PAYLOAD_TYPE, Trust(trusts.VERSION, 1, trusted).to_json(), [root]).to_json()
    )
    decision = Decision("edge", "1", 1, now - timedelta(days=1), now + timedelta(days=30), None)
    release.write(signed, *release.members(case.bundle, decision), signer)
    provision(device, trust_file, partner=contract.marking.releasable_to[0], now=now)
    install(device, signed, now=now)
    return device


def _new_signer() -> Signer:
    key = Ed25519PrivateKey.generate()
    return Signer(key.public_key().public_bytes_raw(), key.sign)


def _running(device: Path, case: Case, records: list[dict[str, float]]) -> tuple[float, float]:
    """Run `threat-scorer run` on the device: resident MiB after many rows, share of a core at ten rows a second."""
    point = next(iter(Scorer.load(case.bundle).contracts[case.model].operating_points))
    config = device / "scorer.toml"
    config.write_text(
        f'device = "edge"\nstate = "."\noperating_point = "{point}"\n'
        f'[[input]]\nkind = "stdin"\nmodel = "{case.model}"\n[[output]]\nkind = "file"\npath = "scores.jsonl"\n'
    )
    command = [sys.executable, "-m", "threat_scorer.cli", "run", "--config", str(config)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=SERVICE)
    assert process.stdin
    lines = [json.dumps(record).encode() + b"\n" for record in records]
    with process.stdin as pipe:
        pipe.write(b"".join(lines))
        pipe.flush()
        scores = device / "scores.jsonl"
        while not scores.exists() or scores.read_bytes().count(b"\n") < len(lines):
            time.sleep(0.2)
        resident_mib = _vm_rss_mib(Path(f"/proc/{process.pid}/status").read_text())
        before, start = _cpu_s(process.pid), time.perf_counter()
        for line in lines[:IDLE_ROWS]:
            pipe.write(line)
            pipe.flush()
            time.sleep(0.1)
        share = (_cpu_s(process.pid) - before) / (time.perf_counter() - start)
    process.wait()
    return resident_mib, share


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
