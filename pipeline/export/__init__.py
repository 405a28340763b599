"""A fitted booster -> one ONNX file that decides as it does, with its contract inside; refused unless it passes.

Read `trees` (LightGBM's text -> flat arrays) and `pipeline.model.log_odds` (the formula around the trees). Then read
`ensemble` and `graph` (-> ONNX), then the room `gate`. `metadata` writes what the device must know into the file.
"""

import threat_scorer  # noqa: F401 - turns onnxruntime's telemetry off, which must happen before onnxruntime's import
