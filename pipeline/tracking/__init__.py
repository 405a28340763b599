"""The stages' files -> MLflow, for reviewers: a run for each fitted model, and one for each pipeline run.

MLflow is a log, DVC's files are the truth. Nothing reads MLflow to build, and no run id is ever an output. `record` is
therefore idempotent: it makes MLflow agree with the files. It runs after every stage that a run describes, and once
more at the end of ``make``. A model restored from DVC's cache, which was not fitted here, then gets its run too.
The name, tags and data of a run come from `pipeline.model.provenance`. Only this package imports mlflow.

Read `runs` first, then `models` (the contents of a model's run) and `folds` (a run below it for each fold).
`connection` chooses the store.
"""

from pipeline.tracking.connection import DATABASE, connect, find_model
from pipeline.tracking.runs import record, record_pipeline

__all__ = ["DATABASE", "connect", "find_model", "record", "record_pipeline"]
