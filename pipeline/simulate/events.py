"""Days of the process -> all that could be noticed: hazards, events, patrols, traffic, tips and sightings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.runtime import portable_math
from pipeline.simulate.ground import Floats, Ground, Integers
from pipeline.simulate.process import FATES, Day, Laws
from pipeline.simulate.scenario import Scenario

HAZARD_SHARES = {"ied": 0.75, "mine": 0.25}
UXO_PER_CELL_DAY = 0.0001
"""Finds and accidents with old ammunition: they come anywhere and bring no others."""
OTHER_PER_CELL_DAY = {"seizure": 0.0003, "attack_other": 0.0007, "threat_report": 0.0004, "hoax_false": 0.0003}
TIPPED_SHARE = 0.06
"""Share of hazards that someone nearby reports before they come to light."""
SIGHTED_SHARE = 0.05
"""Share of hazards whose placing a UAV partly observes."""
FALSE_PER_CELL_DAY = {"tip": 0.0002, "uav_sighting": 0.0002}
PATROL_HOURS = 4.0
"""Mean duration of one patrol in one cell."""
CLEARED_SHARE = 0.15
"""Share of explosions and finds after which an organisation clears the ground, months later."""
CELLS_PER_COUNTING_POINT = 8
COUNTING_DAYS = (2, 6)
"""Days of the week on which traffic is counted: one of work, and the day of rest."""


# a day's rows as plain columns: a DataFrame a day would take longer than the day itself
_Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Happenings:
    """All that happened, exactly as it did; `day` columns count from the first day, positions are metres."""

    hazards: pd.DataFrame
    """hazard_id, cell, x_m, y_m, hazard, day, fate, fate_day."""
    events: pd.DataFrame
    """event_id (the hazard's where it is one), x_m, y_m, day, event_type, hazard, victim_count: in order of time."""
    observations: pd.DataFrame
    """kind, value, x_m, y_m, day, precision: in order of time."""


class Recorder:
    """Collects the events of the days; keeps the events, not the days."""

    def __init__(self, scenario: Scenario, ground: Ground, laws: Laws) -> None:
        self._scenario, self._ground, self._laws = scenario, ground, laws
        self._random = scenario.random("events")
        self._on_road = np.flatnonzero(ground.road_m > 0)
        self._inhabited = np.flatnonzero(ground.population > 0)
        self._counted = self._on_road[::CELLS_PER_COUNTING_POINT]
        self._hazards: list[_Rows] = []
        self._further: list[_Rows] = []
        self._observations: list[_Rows] = []

    def add(self, day: Day) -> None:
        """Record the events of one day."""
        hazards = self._placed(day)
        self._hazards.append(hazards)
        self._further.extend(self._other_events(day))
        self._observations.extend(self._tips_and_sightings(day, hazards))
        if day.number % 7 == 0:
            self._observations.append(self._patrolled(day))
        if day.number % 7 in COUNTING_DAYS:
            self._observations.append(self._traffic(day))

    def happenings(self) -> Happenings:
        """Return everything that was recorded, numbered in order of time."""
        last = self._scenario.size.days
        hazards = _table(self._hazards).sort_values("day", kind="stable", ignore_index=True)
        hazards.insert(0, "hazard_id", _numbered("h", len(hazards)))
        known = hazards[hazards["fate"] != "never_known"]
        lit = known.drop(columns=["cell", "day"]).rename(
            columns={"hazard_id": "event_id", "fate": "event_type", "fate_day": "day"}
        )
        further = _table(self._further)
        further["event_id"] = _numbered("e", len(further))
        events = pd.concat([lit, further], ignore_index=True)
        events["victim_count"] = self._victims(events)
        # an event after the last day is still to come: nobody can have reported it
        events = events[events["day"].between(0, last, inclusive="left")]
        observations = _table([*self._observations, self._clearance(lit)])
        observations = observations[observations["day"].between(0, last, inclusive="left")]
        return Happenings(
            hazards=hazards,
            events=events.sort_values(["day", "event_id"], ignore_index=True),
            observations=observations.sort_values(["day", "kind", "x_m"], ignore_index=True),
        )

    def _placed(self, day: Day) -> _Rows:
        points_m = self._ground.road_points(day.cell, self._random)
        return _rows(
            points_m,
            day.placed,
            cell=day.cell,
            hazard=self._random.choice(list(HAZARD_SHARES), len(points_m), p=list(HAZARD_SHARES.values())),
            fate=np.array(FATES)[day.fate],
            fate_day=day.fate_at,
        )

    def _other_events(self, day: Day) -> list[_Rows]:
        """Draw events that are not of the process: they follow people, attacks and threats also the intensity."""
        cells = len(self._ground.cells)
        people = np.square(portable_math.log1p(self._ground.population))
        trouble = day.intensity / day.intensity.sum() + people / people.sum()
        frames = []
        for kind, rate in {**OTHER_PER_CELL_DAY, "found_cleared": UXO_PER_CELL_DAY}.items():
            count = self._random.poisson(rate * cells)
            weight = trouble if kind in ("attack_other", "threat_report") else people
            cell = self._random.choice(cells, count, p=weight / weight.sum())
            frames.append(
                _rows(
                    self._near(cell),
                    day.number + self._random.random(count),
                    event_type=kind,
                    hazard="uxo" if kind == "found_cleared" else "unknown",
                )
            )
        return frames

    def _tips_and_sightings(self, day: Day, hazards: _Rows) -> list[_Rows]:
        """Draw tips from people and sightings from the air: of hazards that exist, and false ones."""
        frames = []
        for kind, share, late_days in (("tip", TIPPED_SHARE, 3.0), ("uav_sighting", SIGHTED_SHARE, 0.1)):
            noticed = self._random.random(len(hazards["day"])) < share
            true_m = np.column_stack([hazards["x_m"][noticed], hazards["y_m"][noticed]])
            true_m += self._random.normal(0, 700, true_m.shape)
            false_m = self._near(self._random.choice(self._inhabited, self._false(FALSE_PER_CELL_DAY[kind])))
            times = np.concatenate([hazards["day"][noticed], day.number + self._random.random(len(false_m))])
            times = times + late_days * self._random.random(len(times))
            frames.append(_rows(np.vstack([true_m, false_m]), times, kind=kind, value=1.0, precision="day"))
        return frames

    def _patrolled(self, day: Day) -> _Rows:
        visits = self._random.poisson(day.patrol_hours / PATROL_HOURS)
        visited = np.flatnonzero(visits)
        hours = self._random.gamma(4.0 * visits[visited], PATROL_HOURS / 4.0)
        return _rows(
            self._ground.centre_m[visited],
            np.full(len(visited), day.number),
            kind="patrol",
            value=np.round(hours, 1),
            precision="week",
        )

    def _traffic(self, day: Day) -> _Rows:
        vehicles = self._laws.vehicles_per_day(day.number)[self._counted]
        return _rows(
            self._ground.centre_m[self._counted],
            np.full(len(self._counted), day.number + 0.5),  # midday, so that it is that day in any partner's clock
            kind="activity",
            value=np.round(vehicles * portable_math.exp(self._random.normal(0, 0.2, len(vehicles)))),
            precision="day",
        )

    def _clearance(self, lit: pd.DataFrame) -> _Rows:
        cleared = lit[self._random.random(len(lit)) < CLEARED_SHARE]
        return _rows(
            cleared[["x_m", "y_m"]].to_numpy() + self._random.normal(0, 100, (len(cleared), 2)),
            cleared["day"].to_numpy() + self._random.uniform(60, 240, len(cleared)),
            kind="clearance",
            value=np.round(portable_math.exp(8.3 + self._random.normal(0, 0.8, len(cleared)))),
            precision="day",
        )

    def _victims(self, events: pd.DataFrame) -> Floats:
        mean = events["event_type"].map({"explosion": 1.1, "attack_other": 0.6}).fillna(0.0).to_numpy()
        return self._random.poisson(mean).astype(np.float64)

    def _near(self, cell: Integers) -> Floats:
        return self._ground.centre_m[cell] + self._random.uniform(-900, 900, (len(cell), 2))

    def _false(self, per_cell_day: float) -> int:
        return int(self._random.poisson(per_cell_day * len(self._ground.cells)))


def _rows(points_m: Floats, day: Floats, **columns: object) -> _Rows:
    """Return columns of equal length; a single value stands in every row."""
    rows = {"x_m": points_m[:, 0], "y_m": points_m[:, 1], "day": day}
    return rows | {name: np.broadcast_to(np.asarray(value), len(day)) for name, value in columns.items()}


def _table(parts: list[_Rows]) -> pd.DataFrame:
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{number:07d}" for number in range(count)]
