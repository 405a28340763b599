"""A fitted booster -> one ONNX file that cannot be told from it, with its contract inside; refused unless it passes.

Read `trees` (LightGBM's text -> flat arrays) and `stages` (what stands around the trees), then `ensemble` and `graph`
(-> ONNX), then the gate: `rows` (made to find a difference), `twin` (a graph that gives leaf numbers), `parity` and
`parting` (where two leaves part). `describe` writes what the device must know into the file.
"""

import threat_scorer  # noqa: F401 - turns onnxruntime's telemetry off, which must happen before onnxruntime's import
