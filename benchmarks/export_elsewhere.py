"""What ``export_parity.py --write FOLDER`` left behind, tried under whichever onnxruntime runs this.

Needs numpy and onnxruntime only, so that the oldest promised one can be tried in an environment of its own:

    python -m venv old && old/bin/pip install onnxruntime==1.16.3 'numpy<2'
    old/bin/python benchmarks/export_elsewhere.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import numpy as np
import onnxruntime as ort


def main() -> None:
    """Print for each model how many leaves differ and by how much its outputs do; fail where that is too much."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # that `explain` is an input with a default is no news
    results = {}
    for folder in sorted(path.parent for path in Path(sys.argv[1]).glob("*/model.onnx")):
        rows = np.load(folder / "rows.npz")
        model, indices = (
            ort.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in ("model.onnx", "leaf_indices.onnx")
        )
        features = {"features": rows["features"]}
        wrong = int((indices.run(None, features)[0] != rows["leaves"]).sum())
        probability = 1 / (1 + np.exp(-rows["log_odds"]))
        difference = np.abs(model.run(["probability"], features)[0][:, 0] - probability).max()
        some = {"features": rows["features"][:200], "explain": np.array(True)}
        sums = model.run(["contributions"], some)[0].sum(axis=1, dtype=np.float64) + rows["expected_log_odds"]
        results[folder.name] = {
            "wrong_leaves": wrong,
            "probability_difference": float(difference),
            "explanations_difference": float(np.abs(sums - rows["log_odds"][:200]).max()),
        }
        print(ort.__version__, folder.name, f"{rows['leaves'].size:,} leaves:", results[folder.name], flush=True)
    good = results and all(
        entry["wrong_leaves"] == 0
        and entry["probability_difference"] <= 1e-6
        and entry["explanations_difference"] <= 3e-6
        for entry in results.values()
    )
    print(json.dumps({"benchmark": "export_elsewhere", "onnxruntime": ort.__version__, "models": results}))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
