"""What is assessed: datasets with their ground and models, sensors, trust in reports, the simulated theatre."""

from datetime import date
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, model_validator
from pydantic.dataclasses import dataclass

from pipeline.params.names import expanded, nearest
from pipeline.params.numbers import Count, Fraction, Positive, Share
from pipeline.params.strict import STRICT
from pipeline.runtime.local_days import NO_ZONE, is_zone
from pipeline.storage.schemas import CREDIBILITIES, RELIABILITIES, EventType, Hazard


def _zone(name: str) -> str:
    if not is_zone(name):
        raise ValueError("expected an IANA time zone, such as Asia/Baghdad or UTC")
    return name


Zone = Annotated[str, AfterValidator(_zone)]
"""An IANA time zone."""


@dataclass(frozen=True, config=STRICT)
class Run:
    """Which dataset the DVC stages are laid out for."""

    dataset: str
    models: list[str]
    cut: str


@dataclass(frozen=True, config=STRICT)
class Bounds:
    """The box around the theatre, WGS-84 degrees."""

    south_deg: Annotated[float, Ge(-90), Le(90)]
    north_deg: Annotated[float, Ge(-90), Le(90)]
    west_deg: Annotated[float, Ge(-180), Le(180)]
    east_deg: Annotated[float, Ge(-180), Le(180)]

    @model_validator(mode="after")
    def _is_a_box(self) -> "Bounds":
        if self.south_deg >= self.north_deg or self.west_deg >= self.east_deg:
            raise ValueError("expected south_deg < north_deg and west_deg < east_deg")
        return self


@dataclass(frozen=True, config=STRICT)
class Years:
    """The years, first and last, in which the dates of a dataset may lie."""

    first: int
    last: int

    @model_validator(mode="after")
    def _are_in_order(self) -> "Years":
        if self.first > self.last:
            raise ValueError("expected first <= last")
        return self


ANY_YEARS = Years(1900, 2068)
"""Where a dataset has no history: from 1900 to the last year that ``%y`` can mean."""

WORLD = Bounds(south_deg=-90, north_deg=90, west_deg=-180, east_deg=180)


@dataclass(frozen=True, config=STRICT)
class Theatre:
    """The ground: its bounds and the H3 cells that cover it."""

    bounds: Bounds
    h3_resolution: Annotated[int, Ge(0), Le(15)]
    within_km: Positive
    border: str | None = None
    """The source of places whose polygons contain all that is reported; without it only the bounds do."""
    zone: Zone | None = None
    """In which the theatre's days begin: cutoffs stand at its midnights. `features` requires it where reports are dated
    to the day."""
    years: Years = ANY_YEARS
    """In which the dates of its reports may lie."""


@dataclass(frozen=True, config=STRICT)
class Label:
    """Which incidents count as the event to be predicted; an empty list of sources means all."""

    event_types: Annotated[list[EventType], MinLen(1)]
    hazards: Annotated[list[Hazard], MinLen(1)]
    sources: list[str]


@dataclass(frozen=True, config=STRICT)
class AreaModel:
    """What one model of area risk predicts, and which days it learns from and is tested on."""

    label: Label
    horizon_days: Count
    cutoff_every_days: Count
    retrain_every_days: Count
    history_from: date
    train_from: date
    test_from: date
    test_until: date

    @model_validator(mode="after")
    def _in_order(self) -> "AreaModel":
        if not self.history_from <= self.train_from < self.test_from < self.test_until:
            raise ValueError("expected history_from <= train_from < test_from < test_until")
        return self

    @property
    def name(self) -> str:
        """The only name that such a model may have: files, registries and devices know its horizon by it."""
        return f"area_risk_{self.horizon_days}d"


@dataclass(frozen=True, config=STRICT)
class AreaTask(AreaModel):
    """A model of area risk with the zone of its days, which is its theatre's."""

    zone: Zone = NO_ZONE


@dataclass(frozen=True, config=STRICT)
class Measured:
    """One measured feature: its unit, the range in which it is valid, and whether a detection must have it."""

    unit: str
    low: float
    high: float
    required: bool
    meaning: str


Modality = Annotated[dict[str, Measured], MinLen(1), BeforeValidator(expanded)]
"""Inputs of one kind of sensor, by name; ``band_01..band_60`` stands for sixty."""


@dataclass(frozen=True, config=STRICT)
class SensorTask:
    """What `sensor_threat` reads: the kinds of sensor and what each measures.

    `group_area_m2` is the ground searched in each group, where it is known and the same for all. Where nobody knows
    which records depend on each other, they are split into `random_groups` random groups: then results flatter.
    """

    modalities: Annotated[dict[str, Modality], MinLen(1)]
    group_area_m2: Positive | None = None
    random_groups: Annotated[int, Ge(6)] | None = None
    baseline_ridge: Annotated[float, Ge(0)] | None = None
    """In place of that of `train.sensor_threat`."""
    rounds: Count | None = None
    """Number of trees, where there are too few rows to choose it."""

    @property
    def name(self) -> str:
        """The only name that such a model may have."""
        return "sensor_threat"


def _kind_of_section(section: Any) -> str:
    """Return the kind of model that a section declares: one that reads modalities is a sensor's."""
    of_a_sensor = "modalities" in section if isinstance(section, dict) else isinstance(section, SensorTask)
    return "kind[sensor_threat]" if of_a_sensor else "kind[area_risk]"


DeclaredModel = Annotated[
    Annotated[AreaModel, Tag("kind[area_risk]")] | Annotated[SensorTask, Tag("kind[sensor_threat]")],
    Discriminator(_kind_of_section),
]


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
    """One theatre: sources, ground, sensors, and the models that it has data for, in the order that readers see.

    Where `theatre` is null, positions may be anywhere: sensors alone need no ground. Where `linkage` is null, no
    reports are joined. Both keys must be present: DVC follows them one by one.
    """

    simulated: bool
    sources: list[str]
    theatre: Theatre | None
    linkage: Linkage | None
    modalities: dict[str, Modality]
    """What its detections measure, by the kind of sensor."""
    models: dict[str, DeclaredModel]

    @property
    def area_models(self) -> dict[str, AreaModel]:
        """The models of area risk; planners see the first unless they choose another."""
        return {name: model for name, model in self.models.items() if isinstance(model, AreaModel)}

    @property
    def sensor_model(self) -> SensorTask | None:
        """What `sensor_threat` reads, where there is one."""
        return next((model for model in self.models.values() if isinstance(model, SensorTask)), None)

    @property
    def bounds(self) -> Bounds:
        """The box in which positions may lie."""
        return WORLD if self.theatre is None else self.theatre.bounds

    @property
    def years(self) -> Years:
        """The years in which its dates may lie."""
        return ANY_YEARS if self.theatre is None else self.theatre.years

    @model_validator(mode="after")
    def _models_have_their_names_and_ground(self) -> "Dataset":
        for name, model in self.models.items():
            if name != model.name:
                raise ValueError(f"models.{name}: expected the name {model.name} of what it declares")
            if isinstance(model, SensorTask) and model.modalities != self.modalities:
                raise ValueError(f"models.{name}.modalities: expected the same as in modalities, by a YAML alias")
            if isinstance(model, AreaModel):
                self._holds(name, model)
        return self

    def _holds(self, name: str, model: AreaModel) -> None:
        if self.theatre is None:
            raise ValueError(f"models.{name}: the dataset has no theatre; expected its bounds and cells")
        years = self.theatre.years
        if not years.first <= model.history_from.year <= model.test_until.year <= years.last:
            raise ValueError(
                f"models.{name}: its days are of {model.history_from.year} to {model.test_until.year}; "
                f"expected within theatre.years, {years.first} to {years.last}"
            )

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
    until: date
    """The day after its last."""
    horizons_days: Annotated[list[Count], MinLen(1)]
    """Periods ahead for which the truth gives the probability of an event."""


@dataclass(frozen=True, config=STRICT)
class Admiralty:
    """How far a report is trusted, by the reliability of its source and by the credibility of its content."""

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
