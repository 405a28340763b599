"""What `evaluate` measured of a model <-> metrics.json: strict records, for the gate, the page, MLflow and the export.

An unknown, misspelt or missing key is an error that names the file and the key. Some figures belong to one kind of
model. Each is an optional field, and the file of another kind does not contain it.
"""

import re
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

from pydantic import SerializerFunctionWrapHandler, StringConstraints, model_serializer, model_validator
from pydantic.dataclasses import dataclass

from pipeline.runtime.errors import StageError
from pipeline.storage import records, store
from pipeline.storage.records import RECORD

SHIPPED = "lightgbm"
"""Name, in every comparison, of the model that goes to the field."""
ORACLE = "oracle"
"""Name of the simulated theatre's truth: no baseline, nothing can be better."""
BASE_RATE = "base_rate"
"""Name of the baseline that gives every row the share of positives before it."""

_HOT_SPOT = r"(hit_rate|pai|pei|observed_over_expected)_[\d.]+pct(_within_\d+)?"
HotSpot = Annotated[str, StringConstraints(pattern=f"^{_HOT_SPOT}$")]


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Interval:
    """Ends of a 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Estimate:
    """A mean with its 95 % interval: a difference of log-losses in nats a row, or a share of rows."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Skill:
    """Metrics of one model's probabilities, on rows that it had not seen."""

    roc_auc: float
    pr_auc: float
    """Average precision."""
    log_loss: float
    """Nats a row."""
    brier: float
    ece: float
    """Expected calibration error, over bins of equal count."""
    observed_over_expected: float
    """Positives over the sum of the probabilities."""
    hot_spots: dict[HotSpot, float] = field(default_factory=dict)
    """Of area risk: ``hit_rate_1pct``, ``pai_1pct`` and so on; in the file these stand among the other figures."""
    roc_auc_worst_group: float | None = None
    """Of alarms, as are the figures below."""
    pd_at_far: dict[str, float] | None = None
    """Probability of detection, by share of the clutter that raises an alarm."""
    pd_at_alarms_per_m2: dict[str, float] | None = None
    """The same by false alarms per square metre, where the area is known."""
    intervals: dict[str, Interval] | None = None
    """Over groups, by the name of the metric; ``pd_at_far_<share>`` for a probability of detection."""

    def figure(self, name: str) -> float | None:
        """Return one figure by its name in the file; None where this kind of model has none such.

        Raises
        ------
        KeyError
            There is no metric of that name.
        """
        if re.fullmatch(_HOT_SPOT, name):
            return self.hot_spots.get(name)
        if name not in FIGURES:
            raise KeyError(f"{name}: no metric; expected one of {', '.join(FIGURES)}, or a hot spot's")
        figure: float | None = getattr(self, name)
        return figure

    @model_validator(mode="before")
    @classmethod
    def _gather_hot_spots(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        hot_spots = {key: value for key, value in data.items() if re.fullmatch(_HOT_SPOT, str(key))}
        others = {key: value for key, value in data.items() if key not in hot_spots}
        return {**others, "hot_spots": hot_spots} if hot_spots else others

    @model_serializer(mode="wrap")
    def _spread_hot_spots(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        hot_spots: dict[str, Any] = written.pop("hot_spots", {})
        return hot_spots | written


FIGURES = ("roc_auc", "pr_auc", "log_loss", "brier", "ece", "observed_over_expected", "roc_auc_worst_group")
"""Single numbers of a `Skill`, besides those of hot spots."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class SubgroupSkill:
    """Models compared on the same rows."""

    rows: int
    positives: int
    models: dict[str, Skill]
    """By name: `SHIPPED`, baselines, and `ORACLE` where the truth is known."""
    best_baseline: str
    """The one of the lowest log-loss on these rows."""
    log_loss_difference: Estimate
    """Shipped model less best baseline: negative is better."""
    log_loss_differences: dict[str, Estimate]
    """Shipped model less each other model."""
    oracle_share: float | None = None
    """Part of the oracle's gain in log-loss over the base rate that the shipped model reaches."""

    @property
    def shipped(self) -> Skill:
        """Skill of the shipped model."""
        return self.models[SHIPPED]

    @property
    def against_baselines(self) -> dict[str, Estimate]:
        """Shipped model less each baseline; the oracle is none."""
        return {name: difference for name, difference in self.log_loss_differences.items() if name != ORACLE}


@dataclass(frozen=True, config=RECORD, kw_only=True)
class FoldSkill:
    """What the model of one fold reached on the rows that it had not seen."""

    fold: str
    """The day of an origin, or the groups that were held out together, joined by ``+``."""
    rows: int
    positives: int
    expected_positives: float
    """Sum of the probabilities."""
    log_loss: float
    brier: float
    roc_auc: float | None = None
    """None where all rows have one outcome; so is `pr_auc`."""
    pr_auc: float | None = None
    best_baseline: str
    """The one of the lowest log-loss on these rows."""
    best_baseline_log_loss: float
    log_loss_difference: Estimate | None = None
    """Shipped model less best baseline; None where the fold is one block of the bootstrap, which gives no interval."""
    rounds: int | None = None
    """Trees of the fold's model, where the record of the fit gives it."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class RandomSplit:
    """Skill of models that saw other rows of the same groups, as none in the field has."""

    flattering: str
    """Why it is."""
    skill: dict[str, Skill]


@dataclass(frozen=True, config=RECORD, kw_only=True)
class RepeatedSplit:
    """Accuracy where no groups are known and the rows are split at random again and again."""

    flattering: str
    repeats: int
    accuracy: float
    spread: float
    """Standard deviation over the repeats."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class IntervalSkill:
    """Whether intervals of groups not seen contain the share that they should."""

    level: float
    """Share of new groups that they are meant for."""
    mean_width: float
    """Of the probability."""
    bins_held: float
    """Share of bins of equal count in which the share of hazards lies between the mean ends."""
    groups_held: float
    """The same of groups. In a small group chance moves the share more than it moves the probability."""
    oracle_held: Estimate | None = None
    """Share of alarms whose true probability is inside."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class NovelShare:
    """What becomes of alarms to which something was done."""

    novel: Estimate
    """Share that is called novel."""
    novel_or_out_of_range: float


@dataclass(frozen=True, config=RECORD, kw_only=True)
class NoveltySkill:
    """How many alarms of groups not seen are called novel."""

    false_flags_limit: float
    """Share of usual alarms that may be."""
    false_flags: Estimate
    """Share that is."""
    worst_group: float
    perturbed: dict[str, NovelShare]
    """By the perturbation of the alarms."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class FusionSkill:
    """Sensor and place together, where the prior of each alarm's cell is known for certain."""

    models: dict[str, Skill]
    """``fused``, ``sensor``, ``prior`` and `ORACLE`."""
    log_loss_differences: dict[str, Estimate]
    """Fused less each: negative is better."""


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Comparison(SubgroupSkill):
    """Models compared on all held-out rows, and what else was measured there."""

    folds: list[FoldSkill] = field(default_factory=list)
    """By the name of the fold."""
    subgroups: dict[str, SubgroupSkill] = field(default_factory=dict)
    """Of area risk; so is `subgroups_too_small`."""
    subgroups_too_small: list[str] = field(default_factory=list)
    groups: int | None = None
    """Of alarms, as are the fields below."""
    without: dict[str, Skill] | None = None
    """Skill of the shipped model where a modality is missing, by the modality."""
    random_split: RandomSplit | None = None
    repeated: RepeatedSplit | None = None
    intervals: IntervalSkill | None = None
    novelty: NoveltySkill | None = None
    fusion: FusionSkill | None = None


@dataclass(frozen=True, config=RECORD, kw_only=True)
class Metrics:
    """All of metrics.json."""

    comparisons: dict[str, Comparison]
    """By name: ``theatre``, or the modalities joined by ``_``. In the file they stand beside the operating points."""
    operating_points: dict[str, float]
    """Probability from which an alarm is raised, by the name of the point."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON data of the file, for `metrics_of`."""
        comparisons = {name: records.to_json(comparison) for name, comparison in self.comparisons.items()}
        return {**comparisons, "operating_points": self.operating_points}


def metrics_of(data: dict[str, Any], *, where: str) -> Metrics:
    """Return the record of JSON data; `where` and errors as of `records.of_json`."""
    comparisons = {
        name: records.of_json(value, Comparison, where=where, key=f"{name}.")
        for name, value in data.items()
        if name != "operating_points"
    }
    if "operating_points" not in data:
        raise StageError(f"{where}: operating_points: missing; expected what this version's `evaluate` writes")
    points = records.of_json(data["operating_points"], dict[str, float], where=where, key="operating_points.")
    return Metrics(comparisons=comparisons, operating_points=points)


def read_metrics(path: Path) -> Metrics:
    """Read a metrics.json; errors as of `records.of_json`."""
    return metrics_of(store.read_json(path), where=str(path))


def write_metrics(metrics: Metrics, path: Path) -> None:
    """Write a metrics.json."""
    store.write_json(metrics.to_json(), path)
