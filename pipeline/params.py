"""params.yaml -> frozen dataclasses, one a section; an unknown key or a value out of range is a named error."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from pipeline.declarations import STRICT, DeclarationError, nearest, read_declaration
from pipeline.tables import CREDIBILITIES, RELIABILITIES, EventType, Hazard, Tlp

ModelName = Literal["area_risk", "sensor_threat"]
Positive = Annotated[float, Gt(0)]
Count = Annotated[int, Ge(1)]
Fraction = Annotated[float, Gt(0), Le(1)]
Share = Annotated[float, Gt(0), Lt(1)]


@dataclass(frozen=True, config=STRICT)
class Run:
    """Which dataset the DVC stages are laid out for."""

    dataset: str
    models: list[ModelName]
    cut: str


@dataclass(frozen=True, config=STRICT)
class Bounds:
    """The box that holds the theatre, WGS-84 degrees."""

    south_deg: Annotated[float, Ge(-90), Le(90)]
    north_deg: Annotated[float, Ge(-90), Le(90)]
    west_deg: Annotated[float, Ge(-180), Le(180)]
    east_deg: Annotated[float, Ge(-180), Le(180)]

    @model_validator(mode="after")
    def _is_a_box(self) -> "Bounds":
        if self.south_deg >= self.north_deg or self.west_deg >= self.east_deg:
            raise ValueError("expected south_deg < north_deg and west_deg < east_deg")
        return self


WORLD = Bounds(south_deg=-90, north_deg=90, west_deg=-180, east_deg=180)


@dataclass(frozen=True, config=STRICT)
class Theatre:
    """The ground: its bounds and the H3 cells that cover it."""

    bounds: Bounds
    h3_resolution: Annotated[int, Ge(0), Le(15)]
    within_km: Positive
    border: str | None = None
    """The source of places whose polygons hold all that is reported; without it only the bounds do."""


@dataclass(frozen=True, config=STRICT)
class Label:
    """Which incidents count as the event to be predicted; an empty list of sources means all."""

    event_types: Annotated[list[EventType], MinLen(1)]
    hazards: Annotated[list[Hazard], MinLen(1)]
    sources: list[str]


@dataclass(frozen=True, config=STRICT)
class AreaTask:
    """What `area_risk` predicts, and which days it learns from and is tested on (UTC days)."""

    label: Label
    horizons_days: Annotated[list[Count], MinLen(1)]
    cutoff_every_days: Count
    retrain_every_days: Count
    history_from: date
    train_from: date
    test_from: date
    test_until: date

    @model_validator(mode="after")
    def _in_order(self) -> "AreaTask":
        if not self.history_from <= self.train_from < self.test_from < self.test_until:
            raise ValueError("expected history_from <= train_from < test_from < test_until")
        return self


@dataclass(frozen=True, config=STRICT)
class SensorTask:
    """What `sensor_threat` reads: the kinds of sensor, each declared under `modalities`.

    `group_area_m2` is the ground searched in each group, where it is known and the same for all. Where nobody knows
    which records hang together, `random_groups` says into how many random groups they are parted: results flatter then.
    """

    modalities: Annotated[list[str], MinLen(1)]
    group_area_m2: Positive | None = None
    random_groups: Annotated[int, Ge(6)] | None = None
    baseline_ridge: Annotated[float, Ge(0)] | None = None
    """In place of that of `train.sensor_threat`."""
    rounds: Count | None = None
    """Number of trees, where there are too few rows to choose it."""


@dataclass(frozen=True, config=STRICT)
class Linkage:
    """When reports of two sources are taken for one event."""

    least_probability: Share
    coverage: Share
    """Share of one source's events that the other is thought to report too, before anything is known."""
    misdated: Share
    """Share of reports whose date is wrong by more than they state, and then by up to `slack_days`."""
    slack_days: Positive
    reach: Positive
    """Candidates lie within this many standard errors of distance."""
    around: Positive
    """The other source's events are counted within this many times the candidates' distance and time."""


@dataclass(frozen=True, config=STRICT)
class Dataset:
    """One theatre: sources, ground, and the tasks that it has data for; without `linkage` no reports are joined.

    Sensors alone need no ground: without `theatre`, positions may be anywhere.
    """

    simulated: bool
    sources: list[str]
    theatre: Theatre | None = None
    linkage: Linkage | None = None
    area_risk: AreaTask | None = None
    sensor_threat: SensorTask | None = None

    @model_validator(mode="after")
    def _has_ground_to_predict(self) -> "Dataset":
        if self.area_risk is not None and self.theatre is None:
            raise ValueError("area_risk: got no theatre beside it; expected its bounds and cells")
        return self

    @property
    def bounds(self) -> Bounds:
        """The box in which positions may lie."""
        return WORLD if self.theatre is None else self.theatre.bounds

    @property
    def models(self) -> list[ModelName]:
        """The models that this dataset can train, in order."""
        names: tuple[ModelName, ...] = ("area_risk", "sensor_threat")
        return [name for name in names if getattr(self, name) is not None]

    @model_validator(mode="after")
    def _border_is_a_source(self) -> "Dataset":
        name = self.theatre.border if self.theatre else None
        if name is not None and name not in self.sources:
            raise ValueError(f"theatre.border is {name!r}; expected one of the sources{nearest(name, self.sources)}")
        return self


@dataclass(frozen=True, config=STRICT)
class Simulate:
    """The simulated theatre: how large it is, and the seed that makes it another one."""

    size: Literal["small", "theatre", "large"]
    seed: Annotated[int, Ge(0)]


@dataclass(frozen=True, config=STRICT)
class Measured:
    """One measured feature: its unit, the range in which it is valid, and whether a detection must have it."""

    unit: str
    low: float
    high: float
    required: bool
    meaning: str


@dataclass(frozen=True, config=STRICT)
class Admiralty:
    """How far a report is trusted, by the reliability of its source and by the credibility of what it says."""

    reliability: dict[str, Fraction]
    credibility: dict[int, Fraction]

    @model_validator(mode="after")
    def _fall_from_the_best_code_to_the_worst(self) -> "Admiralty":
        for name, weights, codes in (
            ("reliability", list(self.reliability.items()), RELIABILITIES),
            ("credibility", list(self.credibility.items()), CREDIBILITIES),
        ):
            falling = sorted((weight for _, weight in weights), reverse=True)
            if weights != list(zip(codes, falling, strict=False)):
                expected = f"{', '.join(map(str, codes))}, none weighing more than a better one"
                raise ValueError(f"{name}: expected {expected}; got {weights}")
        return self


@dataclass(frozen=True, config=STRICT)
class AreaFeatures:
    """History features of `area_risk`."""

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
    num_threads: Count


@dataclass(frozen=True, config=STRICT, kw_only=True)
class AreaBoosting(Boosting):
    """Fit of `area_risk`: at each origin, the blocks before it choose the number of rounds and calibrate."""

    rounds: Annotated[list[Count], MinLen(1)]
    """Numbers of trees to choose from, ascending."""
    rehearsals: Count
    """Blocks before each origin."""
    most_negatives: Count
    """Rows without an event that a fit learns from; they stand for the others."""

    @model_validator(mode="after")
    def _rounds_ascend(self) -> "AreaBoosting":
        if self.rounds != sorted(set(self.rounds)):
            raise ValueError(f"rounds are {self.rounds}; expected each once, ascending")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class SensorBoosting(Boosting):
    """Fit of `sensor_threat`: whole groups are held out, at most `folds` times to score them.

    Inside each of those fits, `tuning_folds` times to choose the number of rounds, to calibrate, and to set the
    intervals and the limit of what is like training.
    """

    max_rounds: Count
    early_stopping_rounds: Count
    folds: Annotated[int, Ge(2)]
    tuning_folds: Annotated[int, Ge(2)]
    interval_level: Share
    false_flags: Share


@dataclass(frozen=True, config=STRICT)
class Train:
    """How each model is fitted."""

    area_risk: AreaBoosting
    sensor_threat: SensorBoosting


@dataclass(frozen=True, config=STRICT)
class Evaluate:
    """How skill is measured."""

    area_shares: list[Share]
    alarm_shares: list[Share]
    logistic_ridge: Annotated[float, Ge(0)]
    """Penalty of the logistic regression that the area model is held against."""
    alarms_per_m2: list[Positive]
    calibration_bins: Annotated[int, Ge(2)]
    bootstrap_samples: Annotated[int, Ge(100)]
    seed: int


@dataclass(frozen=True, config=STRICT)
class Export:
    """Which form goes to the field, and how hard the parity gate tries to tell it from its booster."""

    form: Literal["field", "large_categories"]
    inputs: Literal["matrix", "named"]
    reasons: bool
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
    subset_worse_by_at_most: Annotated[float, Ge(0)]
    log_odds_difference_at_most: Positive
    onnx_mib_at_most: Positive
    row_ms_at_most: Positive
    session_mib_at_most: Positive
    tlp_at_most: Tlp
    release_to: dict[str, list[str]]


@dataclass(frozen=True, config=STRICT)
class Params:
    """All of params.yaml."""

    run: Run
    datasets: dict[str, Dataset]
    simulate: Simulate
    modalities: dict[str, dict[str, Measured]]
    admiralty: Admiralty
    features: Features
    train: Train
    evaluate: Evaluate
    export: Export
    review: Review

    def dataset(self, name: str) -> Dataset:
        """Return one dataset's entry.

        Raises
        ------
        DeclarationError
            There is none of that name.
        """
        try:
            return self.datasets[name]
        except KeyError:
            raise DeclarationError(
                f"params.yaml: datasets has no {name!r}{nearest(name, self.datasets)} "
                f"(known: {', '.join(self.datasets)})"
            ) from None

    def theatre(self, name: str) -> Theatre:
        """Return the ground of a dataset.

        Raises
        ------
        DeclarationError
            It has none.
        """
        theatre = self.dataset(name).theatre
        if theatre is None:
            raise DeclarationError(f"params.yaml: datasets.{name} has no theatre; expected its bounds and cells")
        return theatre

    def area_task(self, name: str) -> AreaTask:
        """Return what `area_risk` predicts in a dataset.

        Raises
        ------
        DeclarationError
            The dataset has no such task.
        """
        task = self.dataset(name).area_risk
        if task is None:
            raise DeclarationError(f"params.yaml: datasets.{name} has no area_risk; expected its label and its days")
        return task

    def sensor_task(self, name: str) -> SensorTask:
        """Return what `sensor_threat` reads in a dataset.

        Raises
        ------
        DeclarationError
            The dataset has no such task.
        """
        task = self.dataset(name).sensor_threat
        if task is None:
            raise DeclarationError(f"params.yaml: datasets.{name} has no sensor_threat; expected its modalities")
        return task

    def measured(self, name: str) -> dict[str, Measured]:
        """Return what the sensors of a dataset measure, in the order of its modalities; empty without sensors."""
        task = self.dataset(name).sensor_threat
        return {n: m for modality in (task.modalities if task else []) for n, m in self.modalities[modality].items()}

    def optional_modalities(self, name: str) -> dict[str, list[str]]:
        """Return the inputs of each modality of a dataset that a detection may lack as a whole."""
        return {
            modality: list(self.modalities[modality])
            for modality in self.sensor_task(name).modalities
            if not any(entry.required for entry in self.modalities[modality].values())
        }

    @model_validator(mode="after")
    def _modalities_are_declared(self) -> "Params":
        for name, dataset in self.datasets.items():
            for modality in dataset.sensor_threat.modalities if dataset.sensor_threat else []:
                if modality not in self.modalities:
                    raise ValueError(
                        f"datasets.{name}.sensor_threat.modalities names {modality!r}, which is not declared under "
                        f"modalities{nearest(modality, self.modalities)}"
                    )
        return self


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml."""
    return read_declaration(path, Params)


def midnight(day: date) -> datetime:
    """Return the UTC instant at which a day begins.

    Examples
    --------
    >>> midnight(date(2019, 1, 1)).isoformat()
    '2019-01-01T00:00:00+00:00'
    """
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
