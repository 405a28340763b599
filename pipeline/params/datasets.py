"""What is looked at: datasets with their ground and tasks, sensors, trust in reports, the simulated theatre."""

from datetime import date
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator, model_validator
from pydantic.dataclasses import dataclass

from pipeline.params.declarations import STRICT, nearest
from pipeline.params.numbers import Count, Fraction, Positive, Share
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


@dataclass(frozen=True, config=STRICT)
class Years:
    """The years, first and last, in which the dates of a dataset may lie."""

    first: int
    last: int


ANY_YEARS = Years(1900, 2068)
"""Where a dataset has no history: from 1900 to the last year that ``%y`` can mean."""

YEARS_ON = 25
"""Years past `test_until` in which a dataset's dates may lie: it is used on after its test."""

WORLD = Bounds(south_deg=-90, north_deg=90, west_deg=-180, east_deg=180)


@dataclass(frozen=True, config=STRICT)
class Theatre:
    """The ground: its bounds and the H3 cells that cover it."""

    bounds: Bounds
    h3_resolution: Annotated[int, Ge(0), Le(15)]
    within_km: Positive
    border: str | None = None
    """The source of places whose polygons hold all that is reported; without it only the bounds do."""
    zone: Zone | None = None
    """In which the theatre's days begin: cutoffs stand at its midnights. `features` asks for it where reports are dated
    to the day."""


@dataclass(frozen=True, config=STRICT)
class Label:
    """Which incidents count as the event to be predicted; an empty list of sources means all."""

    event_types: Annotated[list[EventType], MinLen(1)]
    hazards: Annotated[list[Hazard], MinLen(1)]
    sources: list[str]


@dataclass(frozen=True, config=STRICT)
class AreaTask:
    """What one model of area risk predicts, and which days it learns from and is tested on."""

    label: Label
    horizon_days: Count
    cutoff_every_days: Count
    retrain_every_days: Count
    history_from: date
    train_from: date
    test_from: date
    test_until: date
    zone: Zone = NO_ZONE
    """Of all its days: that of the theatre."""


@dataclass(frozen=True, config=STRICT)
class Horizon:
    """How far ahead one model of area risk looks, by how often it is asked."""

    cutoff_every_days: Count


@dataclass(frozen=True, config=STRICT)
class AreaRisk:
    """What the models of area risk predict: one for each horizon, in days; the first is the one for planners."""

    label: Label
    horizons_days: Annotated[dict[Count, Horizon], MinLen(1)]
    retrain_every_days: Count
    history_from: date
    train_from: date
    test_from: date
    test_until: date

    @property
    def tasks(self) -> dict[str, AreaTask]:
        """What each model predicts, by the model's name: ``area_risk_28d``."""
        return {
            f"area_risk_{days}d": AreaTask(
                label=self.label,
                horizon_days=days,
                cutoff_every_days=horizon.cutoff_every_days,
                retrain_every_days=self.retrain_every_days,
                history_from=self.history_from,
                train_from=self.train_from,
                test_from=self.test_from,
                test_until=self.test_until,
            )
            for days, horizon in self.horizons_days.items()
        }

    @model_validator(mode="after")
    def _in_order(self) -> "AreaRisk":
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
    area_risk: AreaRisk | None = None
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
    def years(self) -> Years:
        """The years in which its dates may lie: they follow from what is declared, and never from today's date."""
        task = self.area_risk
        if task is None:
            return ANY_YEARS
        return Years(min(ANY_YEARS.first, task.history_from.year), task.test_until.year + YEARS_ON)

    @property
    def models(self) -> list[str]:
        """The models that this dataset can train, in order: one of area risk for each horizon, and `sensor_threat`."""
        return [*(self.area_risk.tasks if self.area_risk else ()), *(["sensor_threat"] if self.sensor_threat else ())]

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
