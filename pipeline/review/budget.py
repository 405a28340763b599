"""A model's ONNX file -> time for a row and memory, measured in a process of its own.

python -m pipeline.review.budget FILE      measure here, print JSON
"""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from pipeline.review.gate import Used
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError

WARM_UP_ROWS = 200
ROWS = 2000


def measure(onnx: Path) -> Used:
    """Measure a model in a process of its own, by the scorer that the device runs.

    Raises
    ------
    StageError
        The scorer cannot load or run the file.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.review.budget", str(onnx)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"},
    )
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise StageError(f"{onnx}: the device's scorer does not run it; got: {message}")
    return Used(**json.loads(done.stdout))


def main() -> None:
    """Measure the file that is named, in this process."""
    from threat_scorer.errors import BundleError
    from threat_scorer.scoring.model import Model

    file = Path(sys.argv[1])
    before_kib = _memory_kib("VmRSS")
    try:
        model = Model(file.read_bytes(), where=str(file))
    except BundleError as error:
        raise StageError(str(error)) from None
    rng = random.Random(7)
    seconds = []
    for _ in range(WARM_UP_ROWS + ROWS):
        values = [rng.uniform(entry.low, entry.high) for entry in model.contract.inputs]
        start = time.perf_counter()
        model.predict_row(values)
        seconds.append(time.perf_counter() - start)
    median_s = sorted(seconds[WARM_UP_ROWS:])[ROWS // 2]
    used = Used(row_ms=1e3 * median_s, session_mib=(_memory_kib("VmHWM") - before_kib) / 1024)
    print(json.dumps(asdict(used)))


def _memory_kib(line: str) -> int:
    """Return one number from the kernel's status of this process."""
    # getrusage would give the parent's peak, which outlives exec
    status = Path("/proc/self/status").read_text()
    return next(int(text.split()[1]) for text in status.splitlines() if text.startswith(f"{line}:"))


if __name__ == "__main__":
    cli.run(main)
