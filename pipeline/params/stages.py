"""How each stage works: features, fits, measures, exports, and what a reviewer requires of a model."""

from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Le, MinLen
from pydantic import BeforeValidator, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from pipeline.params.names import nearest
from pipeline.params.numbers import Count, Fraction, Positive, Share
from pipeline.params.strict import STRICT
from pipeline.storage.schemas import Tlp


@dataclass(frozen=True, config=STRICT)
class AreaFeatures:
    """History features of the models of area risk."""

    half_lives_days: Annotated[list[Positive], MinLen(1)]
    rings: Annotated[int, Ge(0), Le(10)]
    spreads_cells: Annotated[list[Positive], MinLen(1)]
    """Standard deviations of the kernels that smooth over cells, in distances between neighbouring cells."""
    hawkes_half_lives_days: Annotated[list[Positive], MinLen(1)]
    """Of what an event triggers, in the self-exciting process."""


@dataclass(frozen=True, config=STRICT)
class Features:
    """What `features` computes."""

    area_risk: AreaFeatures


@dataclass(frozen=True, config=STRICT)
class Boosting:
    """What both models share: a ridge on the log-linear baseline, LightGBM's parameters under LightGBM's names."""

    baseline_ridge: Annotated[float, Ge(0)]
    num_leaves: Annotated[int, Ge(2)]
    learning_rate: Positive
    min_data_in_leaf: Count
    lambda_l2: Annotated[float, Ge(0)]
    feature_fraction: Fraction
    seed: int


@dataclass(frozen=True, config=STRICT, kw_only=True)
class AreaBoosting(Boosting):
    """Fit of one model of area risk. The blocks before each origin choose the number of rounds, and calibrate."""

    rounds: Annotated[list[Count], MinLen(1)]
    """Numbers of trees to choose from, ascending."""
    calibration_blocks: Count
    """Blocks before each origin that choose and calibrate."""
    most_negatives: Count
    """Rows without an event that a fit learns from; they stand for the others."""

    @model_validator(mode="after")
    def _rounds_ascend(self) -> "AreaBoosting":
        if self.rounds != sorted(set(self.rounds)):
            raise ValueError(f"rounds are {self.rounds}; expected each once, ascending")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class SensorBoosting(Boosting):
    """Fit of `sensor_threat`: whole groups are held out, in at most `folds` folds, to score them.

    Inside each of those fits, `tuning_folds` folds choose the number of rounds, and calibrate. They also set the
    intervals and the limit of novelty.
    """

    max_rounds: Count
    early_stopping_rounds: Count
    folds: Annotated[int, Ge(2)]
    tuning_folds: Annotated[int, Ge(2)]
    interval_level: Share
    false_flags: Share


@dataclass(frozen=True, config=STRICT)
class Train:
    """How each model is fitted: those of area risk by name, such as ``area_risk_28d``, for horizons may differ."""

    area_risk: dict[str, AreaBoosting]
    sensor_threat: SensorBoosting


def _by_kind(sections: Any) -> Any:
    """Gather the sections of params.yaml, one for each model, by the kind of model."""
    if not isinstance(sections, dict):
        return sections
    area = {name: section for name, section in sections.items() if name != "sensor_threat"}
    return {"area_risk": area, **{name: section for name, section in sections.items() if name not in area}}


TrainSections = Annotated[Train, BeforeValidator(_by_kind)]


@dataclass(frozen=True, config=STRICT)
class Bound:
    """Between what ends, both within it, a search draws a value, and on which scale."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _is_a_range(self) -> "Bound":
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise ValueError(f"got {self.low} to {self.high}, {self.scale}; expected low < high, above 0 if log")
        return self


@dataclass(frozen=True, config=STRICT)
class Tune:
    """How an area model's values are searched for, inside the training period."""

    retrain_periods: Count
    """Length of the tuned period, which ends where the test begins."""
    trials: Count
    """Candidates besides the values in `train`."""
    seed: Annotated[int, Ge(0)]
    area_risk: Annotated[dict[str, Bound], MinLen(1)]
    """By the name of a number in the sections of `train` for models of area risk; they all share it."""

    @model_validator(mode="after")
    def _bounds_are_of_the_fit(self) -> "Tune":
        kinds = get_type_hints(AreaBoosting, include_extras=True)
        # another seed is no better model, only a luckier one
        names = [name for name in kinds if name not in ("rounds", "seed")]
        for name, bound in self.area_risk.items():
            if name not in names:
                raise ValueError(
                    f"area_risk names {name!r}{nearest(name, names)} (what may be searched for: {', '.join(names)})"
                )
            for end in (bound.low, bound.high):
                try:
                    TypeAdapter(kinds[name]).validate_python(end)
                except ValidationError as error:
                    raise ValueError(f"area_risk.{name}: got {end}; {error.errors()[0]['msg'].lower()}") from None
        return self


@dataclass(frozen=True, config=STRICT)
class Evaluate:
    """How skill is measured."""

    area_shares: list[Share]
    alarm_shares: list[Share]
    logistic_ridge: Annotated[float, Ge(0)]
    """Penalty of the logistic regression that the area model is compared with."""
    alarms_per_m2: list[Positive]
    calibration_bins: Annotated[int, Ge(2)]
    bootstrap_samples: Annotated[int, Ge(100)]
    seed: int


@dataclass(frozen=True, config=STRICT)
class Export:
    """Which variant of the ONNX file goes to the field, and how many rows the parity gate compares."""

    variant: Literal["field", "large_categories"]
    inputs: Literal["matrix", "named"]
    explanations: bool
    on_novel: Literal["flag", "abstain"]
    log_odds_limit: Positive
    golden_rows: Count
    random_rows: Count
    adversarial_rows: Count
    seed: int


@dataclass(frozen=True, config=STRICT)
class Review:
    """What a model must show before it goes to the field."""

    ece_at_most: Share
    observed_over_expected: tuple[Positive, Positive]
    subgroup_worse_by_at_most: Annotated[float, Ge(0)]
    log_odds_difference_at_most: Positive
    onnx_mib_at_most: Positive
    row_ms_at_most: Positive
    session_mib_at_most: Positive
    tlp_at_most: Tlp
    release_to: dict[str, list[str]]
