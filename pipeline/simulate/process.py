"""Ground -> hazards day by day: a self-exciting point process on the roads, with campaigns that start, move and stop.

On day d a cell's expected number of new hazards, given all that happened before, is its *intensity*:

    intensity = background * season * weekday + campaigns + excitation.

Each hazard raises the excitation of its own and the neighbouring cells. Excitation fades over weeks (Hawkes, 1971; for
near-repeats Mohler et al., 2011). Traffic and searches in a cell decide when its hazards come to light, if ever.
Searches follow what came to light before. All of this stands in `Laws`, which the oracle reads too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from pipeline.runtime import portable_math
from pipeline.simulate.campaigns import Campaigns, draw_campaigns
from pipeline.simulate.ground import Floats, Ground, Integers, smooth_field
from pipeline.simulate.scenario import Scenario

BACKGROUND_PER_CELL_DAY = 0.0008
"""Expected new hazards a day, in the mean cell, that neither a campaign nor an earlier hazard brought."""
BRANCHING = 0.45
"""Expected number of hazards that one hazard brings in turn."""
EXCITATION_DAYS = 14.0
"""Mean time after which they come."""
FADING = float(portable_math.exp(-1 / EXCITATION_DAYS))
"""What is left of an excitation after a day."""
SPREAD_M = 1_800.0
"""Standard deviation of how far off they come."""

WEEKDAYS = (1.15, 1.15, 1.15, 1.15, 1.05, 0.8, 0.55)
"""How busy each day of the week is, 1 in the mean. The week begins with the first day and ends with a day of rest."""
VEHICLES_PER_DAY = 800.0
"""In a cell of mean traffic."""

EXPLODES_PER_DAY = 0.07
"""Chance a day that a hazard in a cell of mean traffic explodes."""
FOUND_PER_DAY = 0.10
"""Chance a day that a hazard in a cell of mean search is found."""
LAPSES_PER_DAY = 0.04
"""Chance a day that a hazard is gone without anyone knowing."""

PATROL_HOURS_PER_ROAD_CELL_WEEK = 3.0
REACTIVE_SHARE = 0.4
"""Share of the patrols that goes where something came to light in the weeks before."""
REACTION_DAYS = 21.0
_REACTION_FADING = float(portable_math.exp(-1 / REACTION_DAYS))
"""What is left of a reaction after a day."""

WARM_UP_DAYS = 120
YEAR_DAYS = 365.25

FATES = ("explosion", "found_cleared", "never_known")


@dataclass(frozen=True, eq=False)
class Laws:
    """What drives the process on one ground; arrays of shape (cells,)."""

    background: Floats
    """Expected new hazards a day, before season."""
    kernel: sparse.csr_array
    """Hazards that one hazard in a cell (column) brings to cells (rows); columns sum to `BRANCHING`."""
    road_share: Floats
    """Each cell's share of all road: campaigns and hazards keep to the roads."""
    traffic: Floats
    """Traffic over its mean where there is any road."""
    campaigns: Campaigns

    def rhythm(self, day: int) -> float:
        """Return how much more hazards there are on a day for its season and its weekday."""
        return self.season(day) * WEEKDAYS[day % 7]

    def season(self, day: int) -> float:
        """Return how much more hazards there are in the season of a day."""
        return _season(day)

    def vehicles_per_day(self, day: int) -> Floats:
        """Return the traffic of a day, by cell: more out of the hazards' season, less on the day of rest."""
        return VEHICLES_PER_DAY * self.traffic * (2 - self.season(day)) * WEEKDAYS[day % 7]

    def explodes_per_day(self) -> Floats:
        """Return the chance a day that a hazard explodes, by cell."""
        return np.minimum(EXPLODES_PER_DAY * self.traffic, 0.4)

    def found_per_day(self, patrol_hours: Floats) -> Floats:
        """Return the chance a day that a hazard is found, by cell, for planned patrol hours a week."""
        return np.minimum(FOUND_PER_DAY * patrol_hours / PATROL_HOURS_PER_ROAD_CELL_WEEK, 0.6)


@dataclass(frozen=True)
class Day:
    """What one day brought; `hazards` arrays are of shape (n,), the others of shape (cells,)."""

    number: int
    """Days since the first day; negative while warming up."""
    intensity: Floats
    excitation: Floats
    """Part of the intensity that earlier hazards cause."""
    patrol_hours: Floats
    """Planned for the week."""
    cell: Integers
    fate: Integers
    """Index in `FATES`."""
    placed: Floats
    """When each hazard came to be there, in days since the first day."""
    fate_at: Floats
    """When its fate came, in days since the first day."""


def make_laws(scenario: Scenario, ground: Ground) -> Laws:
    """Draw the laws of a theatre."""
    random = scenario.random("laws")
    has_road = ground.road_m > 0
    reach_m = scenario.size.land_radius_km * 1000
    # a lasting difference between places that no map shows: only history shows it
    hidden = smooth_field(
        ground.centre_m, max(8, len(ground.cells) // 12), width_m=4_000, reach_m=reach_m, random=random
    )
    busy = portable_math.log1p(ground.population) + 2 * portable_math.exp(-ground.town_distance_m / 4_000)
    log_rate = 0.35 * _standard(busy, has_road) + 0.45 * _standard(ground.elevation_m, has_road) + 0.8 * hidden
    rate = np.where(has_road, ground.road_m / 1000 * portable_math.exp(log_rate), 0)
    traffic = np.where(has_road, portable_math.exp(0.6 * _standard(busy, has_road)), 0)
    return Laws(
        background=BACKGROUND_PER_CELL_DAY * len(rate) * rate / rate.sum(),
        kernel=_kernel(ground),
        road_share=ground.road_share(),
        traffic=traffic / traffic[has_road].mean(),
        campaigns=draw_campaigns(
            ground.centre_m,
            ground.roads_m,
            ground.road_share(),
            first_day=-WARM_UP_DAYS,
            last_day=scenario.size.days,
            random=random,
        ),
    )


def run(scenario: Scenario, laws: Laws) -> Iterator[Day]:
    """Run the process from before the first day to the last; only one day at a time is in memory."""
    random = scenario.random("process")
    cells = len(laws.background)
    excitation, came_to_light = np.zeros(cells), np.zeros(cells)
    waiting: dict[int, list[int]] = {}  # day -> cells where a hazard will come to light
    patrol_hours = plan_patrols(laws, came_to_light)
    for day in range(-WARM_UP_DAYS, scenario.size.days):
        if day % 7 == 0:
            patrol_hours = plan_patrols(laws, came_to_light)
        calm = laws.background * laws.rhythm(day) + laws.campaigns.intensity(day)
        intensity = calm + excitation
        counts = random.poisson(intensity)
        cell = np.repeat(np.arange(cells), counts)
        placed = day + random.random(len(cell))
        fate, fate_at = _fates(laws, patrol_hours, cell, placed, random)
        yield Day(day, intensity, excitation, patrol_hours, cell, fate, placed, fate_at)
        for where, when in zip(cell[fate < 2].tolist(), fate_at[fate < 2].tolist(), strict=True):
            waiting.setdefault(int(when), []).append(where)
        excitation = next_excitation(laws, excitation, counts.astype(np.float64))
        came_to_light *= _REACTION_FADING
        np.add.at(came_to_light, waiting.pop(day, []), 1)


def next_excitation(laws: Laws, excitation: Floats, hazards: Floats) -> Floats:
    """Return tomorrow's excitation from today's and from today's hazards (or their expected number).

    Parameters
    ----------
    laws
        Give the kernel.
    excitation, hazards
        Today's, by cell; shape (cells,).
    """
    return np.asarray(FADING * excitation + (1 - FADING) * (laws.kernel @ hazards))


def plan_patrols(laws: Laws, came_to_light: Floats) -> Floats:
    """Return planned patrol hours a week by cell: most on the busy roads, some after what came to light.

    Parameters
    ----------
    came_to_light
        Explosions and finds by cell, fading over `REACTION_DAYS`; shape (cells,).
    """
    on_road = laws.road_share > 0
    hours = PATROL_HOURS_PER_ROAD_CELL_WEEK * float(on_road.sum())
    standing = laws.road_share * laws.traffic
    alarmed = laws.kernel @ came_to_light + 0.5 * came_to_light * on_road
    if alarmed.sum() == 0:
        return np.asarray(hours * standing / standing.sum())
    shares = (1 - REACTIVE_SHARE) * standing / standing.sum() + REACTIVE_SHARE * alarmed / alarmed.sum()
    return np.asarray(hours * shares)


def _fates(
    laws: Laws, patrol_hours: Floats, cell: Integers, placed: Floats, random: np.random.Generator
) -> tuple[Integers, Floats]:
    """Let explosion, find and lapse compete: the first of three exponential waiting times decides."""
    chances = [
        laws.explodes_per_day()[cell],
        laws.found_per_day(patrol_hours)[cell],
        np.full(len(cell), LAPSES_PER_DAY),
    ]
    waits = random.exponential(1.0, (3, len(cell))) / np.maximum(chances, 1e-9)
    return np.argmin(waits, axis=0), placed + waits.min(axis=0)


def _kernel(ground: Ground) -> sparse.csr_array:
    """Return where triggered hazards come: Gaussian in distance, only onto cells with road."""
    pairs = cKDTree(ground.centre_m).sparse_distance_matrix(
        cKDTree(ground.centre_m), 2.5 * SPREAD_M, output_type="coo_matrix"
    )
    weight = portable_math.exp(-np.square(pairs.data) / (2 * SPREAD_M * SPREAD_M)) * ground.road_m[pairs.row]
    kernel = sparse.csr_array((weight, (pairs.row, pairs.col)), shape=pairs.shape)
    total: Floats = np.asarray(kernel.sum(axis=0), dtype=np.float64)
    return sparse.csr_array(kernel @ sparse.diags_array(BRANCHING / np.where(total > 0, total, 1)))


@lru_cache(maxsize=1024)
def _season(day: int) -> float:
    return 1 + 0.3 * float(portable_math.sin(2 * np.pi * day / YEAR_DAYS))


def _standard(values: Floats, subset: np.ndarray) -> Floats:
    """Return values less their mean, over their deviation, both taken over a subset of them."""
    return np.asarray((values - values[subset].mean()) / max(float(values[subset].std()), 1e-9))
