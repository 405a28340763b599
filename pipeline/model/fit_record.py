"""How a model was fitted, and all its parts but the trees <-> fit.json, a strict record."""

from pathlib import Path
from typing import TypeAlias

from pydantic.dataclasses import dataclass

from pipeline.model.intervals import IntervalTable
from pipeline.model.log_odds import CalibratedLogOdds, Calibration, LogLinear
from pipeline.model.novelty import Novelty
from pipeline.params.stages import AreaBoosting, Boosting, SensorBoosting
from pipeline.storage import records
from pipeline.storage.marking import Marking
from pipeline.storage.records import RECORD
from threat_scorer.scoring.kinds import kind_of


@dataclass(frozen=True, config=RECORD, kw_only=True)
class FitRecord:
    """What the records of all kinds of model contain."""

    features: list[str]
    """Names, in the model's order."""
    baseline: LogLinear
    calibration: Calibration
    best_iteration: int
    """Number of trees."""
    base_rate: float
    """Share of positives among the training rows."""
    rows: int
    """Training rows, before any was left out at random."""
    positives: int
    params: Boosting
    features_digest: str
    """``sha256:<hex>`` of the file that `features` wrote."""
    marking: Marking

    @property
    def formula(self) -> CalibratedLogOdds:
        """How baseline, trees and calibration make the model's own log-odds."""
        return CalibratedLogOdds(self.baseline, self.calibration)


@dataclass(frozen=True, config=RECORD, kw_only=True)
class OriginFit:
    """The model that was fitted at one origin of the test."""

    at: str
    """Instant, UTC, as ``2022-01-01T00:00:00.000000Z``."""
    day: str
    """Of the theatre, which begins at that instant: it names the fold."""
    labels_until: str
    """Instant at which the last label ends that the model learned from."""
    rows: int
    positives: int
    rounds: int
    """Number of trees."""
    calibration: Calibration
    calibration_rows: int


@dataclass(frozen=True, config=RECORD, kw_only=True)
class AreaFitRecord(FitRecord):
    """Of a model of area risk."""

    params: AreaBoosting
    horizon_days: int
    train_from: str
    """First cutoff that the model learned from, UTC."""
    labels_until: str
    """Instant at which the last label ends that the model learned from, UTC."""
    origins: list[OriginFit]
    """Of the test, in order; the last one's model is the one that is shipped."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class SensorFitRecord(FitRecord):
    """Of a model of sensor threat."""

    params: SensorBoosting
    groups: list[str]
    """Soils, lanes or sites of the training rows, sorted."""
    interval: IntervalTable
    novelty: Novelty

    @property
    def horizon_days(self) -> None:
        """None: an alarm has no horizon."""
        return None


AnyFitRecord: TypeAlias = AreaFitRecord | SensorFitRecord
KINDS: dict[str, type[AnyFitRecord]] = {"area_risk": AreaFitRecord, "sensor_threat": SensorFitRecord}
"""By the kind of model."""


def read_fit(path: Path, model: str) -> AnyFitRecord:
    """Read the record of a fit; `model` is its name, which gives its kind. Errors are those of `records.of_json`."""
    return records.read(path, KINDS[kind_of(model)])


def write_fit(fit: AnyFitRecord, path: Path) -> None:
    """Write the record of a fit."""
    records.write(fit, path)
