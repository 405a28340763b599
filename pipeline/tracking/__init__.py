"""What the stages left in files -> MLflow, for reviewers: a run for each fitted model, and one for each pipeline run.

MLflow is a log, DVC's files are the truth: nothing reads MLflow to build, and no run id is ever an output. `record` is
therefore one idempotent question, "does MLflow show what the files say?", asked after every stage that a run speaks of
and once more at the end of ``make``: a model restored from DVC's cache, which was not fitted here, gets its run too.
The name, tags and data of a run come from `pipeline.model.provenance`. Only this package imports mlflow.

Read `runs` first, then `models` (what a model's run holds) and `folds` (the runs below it: an origin, or groups that
were held out); `connection` knows which store it all goes to.
"""

from pipeline.tracking.connection import DATABASE, connect, find_model
from pipeline.tracking.runs import record, record_pipeline

__all__ = ["DATABASE", "connect", "find_model", "record", "record_pipeline"]
