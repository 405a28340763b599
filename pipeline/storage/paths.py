"""Dataset and model -> the one place where each file of the pipeline lies, relative to the project's root."""

from dataclasses import dataclass
from pathlib import Path

SOURCES = Path("data/sources")
LOCK = Path("dvc.lock")
PROCESSOR_LOCK = Path(".dvc/tmp/this_processor.lock")
"""The lock of what this processor made, where its last digits differ from those in `LOCK`: see `pipeline.chain`."""


@dataclass(frozen=True)
class DatasetPaths:
    """Where everything of one dataset lies; nothing is created here.

    Examples
    --------
    >>> DatasetPaths("simulated").features("area_risk_28d").as_posix()
    'data/features/simulated/area_risk_28d/rows.parquet'
    """

    dataset: str

    @property
    def raw(self) -> Path:
        """Folder of the partners' files, as they came."""
        return Path("data/raw", self.dataset)

    @property
    def truth(self) -> Path:
        """Folder of what really happened; known for the simulated theatre only, read by `evaluate` only."""
        return Path("data/truth", self.dataset)

    @property
    def staging(self) -> Path:
        """Folder of what `ingest` made of each partner's file, so that only what changed is read again."""
        return Path("data/staging", self.dataset)

    @property
    def tables(self) -> Path:
        """Folder of the canonical tables, one Parquet file each."""
        return Path("data/tables", self.dataset)

    @property
    def quarantine(self) -> Path:
        """Folder of the rows that were refused, whole."""
        return Path("data/quarantine", self.dataset)

    @property
    def reports(self) -> Path:
        """Folder of metrics, plots and pages."""
        return Path("reports", self.dataset)

    @property
    def bundle(self) -> Path:
        """Folder that goes to the field: one ONNX file a model."""
        return Path("models", self.dataset, "bundle")

    def features(self, model: str) -> Path:
        """Parquet file of one model's feature rows."""
        return Path("data/features", self.dataset, model, "rows.parquet")

    def catalogue(self, model: str) -> Path:
        """JSON file that describes each feature of a model, in the model's order."""
        return Path("data/features", self.dataset, model, "catalogue.json")

    def process(self, model: str) -> Path:
        """JSON file of the self-exciting process whose rate is a feature of an area model."""
        return Path("data/features", self.dataset, model, "process.json")

    def model(self, model: str) -> Path:
        """Folder of the fitted booster, the record of its fit and its held-out predictions."""
        return Path("models", self.dataset, model)

    def evaluation(self, model: str) -> Path:
        """Folder of one model's metrics and plots."""
        return self.reports / "evaluation" / model

    def tuning(self, model: str) -> Path:
        """CSV file of what a search for one model's values has tried; what it remembers lies beside it, as Parquet."""
        return self.reports / "tuning" / f"{model}.csv"

    def parity(self, model: str) -> Path:
        """JSON file of how closely one model's ONNX file and its booster agree."""
        return Path("models", self.dataset, "parity", f"{model}.json")

    @property
    def ingested(self) -> Path:
        """JSON file that counts what became of every row of every source."""
        return self.reports / "ingest.json"

    @property
    def metrics(self) -> Path:
        """JSON file of all metrics of all models, for machines."""
        return self.reports / "metrics.json"

    @property
    def page(self) -> Path:
        """Reviewers' page: one HTML file that needs no other."""
        return self.reports / "index.html"

    def card(self, model: str) -> Path:
        """Markdown file: the model card."""
        return self.reports / "cards" / f"{model}.md"

    def onnx(self, model: str) -> Path:
        """ONNX file of one model in the bundle."""
        return self.bundle / f"{model}.onnx"
