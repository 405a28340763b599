"""Laws and days -> the probability of a known event in a cell's next weeks: the best possible forecast.

The oracle knows the laws, every hazard placed so far and the campaigns under way. It does not know the draws to come,
nor which hazards still lie there. It is the process's own forecast, not hindsight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipeline.runtime import portable_math
from pipeline.simulate.ground import Floats, Ground
from pipeline.simulate.partners import PARTNERS, Partner, rumoured
from pipeline.simulate.process import FADING, LAPSES_PER_DAY, Day, Laws, next_excitation
from pipeline.simulate.scenario import Scenario

_DRAWS_PER_CELL = 48


@dataclass(frozen=True, eq=False)
class Visibility:
    """How events that come to light reach the label, given how the partners report; arrays of shape (cells,)."""

    explosion: float
    """Share of explosions that at least one partner reports, by day and with the hazard named."""
    found_cleared: float
    """The same for finds."""
    displaced: sparse.csr_array
    """Where reports place events: from a cell (column) to cells (rows)."""
    invented_per_day: Floats
    """Reported explosions that never were."""


class Oracle:
    """Forecasts, day after day, the probability of a reported event in each cell."""

    def __init__(self, laws: Laws, visibility: Visibility, horizons_days: tuple[int, ...]) -> None:
        self._laws, self._visibility, self._horizons_days = laws, visibility, horizons_days
        self._lying = np.zeros(len(laws.background))
        self._own = np.asarray(laws.kernel.diagonal())
        self._fates: _Fates | None = None

    def outlook(self, days: Sequence[Day]) -> dict[int, Floats]:
        """Return, for each horizon in days, the probability of a reported event from the start of each day on.

        Give the days in order, from the first of the process on. The oracle carries the expected number of lying
        hazards from one day to the next.

        Parameters
        ----------
        days
            Following one another, under the same planned patrols.

        Returns
        -------
        dict
            Horizon -> float64 of shape (cells, days).
        """
        laws, visibility, longest = self._laws, self._visibility, max(self._horizons_days)
        fates = self._fates_of(days[0].patrol_hours)
        lying = np.empty((len(laws.background), len(days)))
        for k, day in enumerate(days):
            lying[:, k] = self._lying
            self.pass_over(day)
        expected = {horizon: lying * fates.ended[horizon][:, None] for horizon in self._horizons_days}
        excitation = np.column_stack([day.excitation for day in days])
        numbers = np.array([day.number for day in days])
        background, own = laws.background[:, None], ((1 - FADING) * self._own * fates.reported)[:, None]
        for ahead, campaigns in enumerate(laws.campaigns.outlook(numbers, longest)):
            placed = background * np.array([laws.rhythm(number + ahead) for number in numbers.tolist()]) + excitation
            placed += campaigns
            for horizon, total in expected.items():
                if ahead < horizon:  # placed in the middle of its day
                    total += placed * fates.ended_midday[horizon - ahead - 1][:, None]
            # a hazard that an already counted one brings to the same cell changes nothing there
            excitation = next_excitation(laws, excitation, placed) - own * placed
        reported, invented = fates.reported[:, None], visibility.invented_per_day[:, None]
        return {
            horizon: -portable_math.expm1(-(visibility.displaced @ (reported * total) + invented * horizon))
            for horizon, total in expected.items()
        }

    def pass_over(self, day: Day) -> None:
        """Let a day pass without a forecast."""
        self._lying = (self._lying + day.intensity) * self._fates_of(day.patrol_hours).lie_on

    def _fates_of(self, patrol_hours: Floats) -> "_Fates":
        """Return what becomes of hazards under planned patrols, which stay the same for a week."""
        if self._fates is None or self._fates.patrol_hours is not patrol_hours:
            laws, visibility = self._laws, self._visibility
            explodes, found = laws.explodes_per_day(), laws.found_per_day(patrol_hours)
            ends = explodes + found + LAPSES_PER_DAY
            self._fates = _Fates(
                patrol_hours=patrol_hours,
                reported=(explodes * visibility.explosion + found * visibility.found_cleared) / ends,
                lie_on=portable_math.exp(-ends),
                ended={h: -portable_math.expm1(-ends * h) for h in self._horizons_days},
                ended_midday=-portable_math.expm1(
                    np.multiply.outer(-(np.arange(max(self._horizons_days)) + 0.5), ends)
                ),
            )
        return self._fates


@dataclass(frozen=True, eq=False)
class _Fates:
    """What becomes of hazards while the patrols are planned alike; arrays of shape (cells,)."""

    patrol_hours: Floats
    reported: Floats
    """Share of them that is ever reported."""
    lie_on: Floats
    """Share that still lies there a day later."""
    ended: dict[int, Floats]
    """Horizon in days -> share of those that lie there now whose fate comes within it."""
    ended_midday: Floats
    """The same for those placed at midday, by the end of that and each later day; shape (days, cells)."""


def make_visibility(scenario: Scenario, ground: Ground) -> Visibility:
    """Return how the partners' reporting turns events into labels."""
    invented = sum(p.invented_per_cell_day * (1 - p.withdrawn) * _usable(p) for p in PARTNERS) * len(ground.cells)
    return Visibility(
        explosion=_reported_share("explosion"),
        found_cleared=_reported_share("found_cleared"),
        displaced=_displacement(scenario, ground),
        invented_per_day=invented * rumoured(ground),
    )


def _share(partner: Partner, event_type: str) -> float:
    return partner.coverage.get(event_type, 0) * _usable(partner)


def _usable(partner: Partner) -> float:
    """Return the share of reports that a label can use: dated to the day, with the hazard named."""
    return (1 - partner.precisions.get("week", 0)) * (1 - partner.unnamed)


def _reported_share(event_type: str) -> float:
    return 1 - float(np.prod([1 - _share(partner, event_type) for partner in PARTNERS]))


def _displacement(scenario: Scenario, ground: Ground) -> sparse.csr_array:
    """Return the chance that an event in one cell is reported in another, by drawing; events lie on roads."""
    random = scenario.random("displacement")
    cells = len(ground.cells)
    source = np.repeat(np.flatnonzero(ground.road_m > 0), _DRAWS_PER_CELL)
    weight = np.array([_share(p, "explosion") + _share(p, "found_cleared") for p in PARTNERS])
    error_m = random.choice([p.error_m for p in PARTNERS], len(source), p=weight / weight.sum())
    moved_m = ground.road_points(source, random) + random.normal(0, 1, (len(source), 2)) * error_m[:, None]
    target = ground.cell_of(moved_m)
    share = np.full(len(source), 1 / _DRAWS_PER_CELL)
    return sparse.csr_array((share, (target, source)), shape=(cells, cells))
