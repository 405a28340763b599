"""Roads and cells -> campaigns: they start anywhere on the roads, move, stop, and bring hazards where they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.spatial import cKDTree

from pipeline.runtime import portable_math

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CAMPAIGN_DAYS = 150.0
"""Mean duration."""
CAMPAIGN_CELLS = 220.0
"""Cells to each campaign that is under way, in the mean."""
CAMPAIGN_PER_DAY = 0.3
"""Expected new hazards a day that a campaign brings by itself."""
CAMPAIGN_WIDTH_M = 4_000.0
CAMPAIGN_SPEED_M_PER_DAY = 60.0

LONGEST_HORIZON_DAYS = 366
"""How far ahead a campaign that is under way is looked at."""
_LASTING: list[float] = portable_math.exp(-np.arange(LONGEST_HORIZON_DAYS + 1) / CAMPAIGN_DAYS).tolist()
"""Chance that a campaign under way still is so many days later."""


@dataclass(frozen=True, eq=False)
class Campaigns:
    """Every campaign, in the order of its start; times in days since the first day, arrays of shape (campaigns,)."""

    starts: Floats
    stops: Floats
    origin_m: Floats
    velocity_m_per_day: Floats
    road_share: Floats
    """Each cell's share of all road, shape (cells,): a campaign keeps to the roads."""
    centres: cKDTree
    """Of the cells, in metres."""

    def intensity(self, day: int) -> Floats:
        """Return what the campaigns under way add to the intensity of a day, shape (cells,)."""
        return np.asarray(CAMPAIGN_PER_DAY * (_shares(self, day // 7) @ self._under_way(day)))

    def outlook(self, days: Integers, longest: int) -> Iterator[Floats]:
        """Yield what campaigns are expected to add to the intensity of each day, and of the days after each.

        Those under way on the day stop at their mean rate; others start anywhere on the roads.

        Parameters
        ----------
        days
            Shape (d,).
        longest
            Number of days that are foretold; at most `LONGEST_HORIZON_DAYS`.

        Yields
        ------
        ndarray
            Of the days themselves, then of each a day later, and so on; float64 of shape (cells, d).
        """
        under_way = np.column_stack([self._under_way(day) for day in days.tolist()]).astype(np.float64)
        by_week: dict[int, Floats] = {}
        for ahead, lasting in enumerate(_LASTING[:longest]):
            weeks = ((days + ahead) // 7).tolist()
            for week in set(weeks) - set(by_week):
                by_week[week] = _shares(self, week) @ under_way
            going_on = np.column_stack([by_week[week][:, k] for k, week in enumerate(weeks)])
            started = (1 - lasting) * len(self.road_share) / CAMPAIGN_CELLS * self.road_share
            yield CAMPAIGN_PER_DAY * (lasting * going_on + started[:, None])

    def _under_way(self, day: int) -> npt.NDArray[np.bool_]:
        return (self.starts <= day) & (day < self.stops)


def draw_campaigns(
    centre_m: Floats,
    roads_m: Floats,
    road_share: Floats,
    *,
    first_day: int,
    last_day: int,
    random: np.random.Generator,
) -> Campaigns:
    """Let campaigns start at random on the roads, in a steady state from the first day on.

    Parameters
    ----------
    centre_m
        Of the cells, shape (cells, 2).
    roads_m
        Points along the roads, shape (n, 2).
    road_share
        Each cell's share of all road, shape (cells,).
    first_day, last_day
        Of the process; negative while it warms up.
    random
        Source of the draws.
    """
    first = first_day - 5 * CAMPAIGN_DAYS
    per_day = len(centre_m) / CAMPAIGN_CELLS / CAMPAIGN_DAYS
    count = random.poisson(per_day * (last_day - first))
    starts = np.sort(random.uniform(first, last_day, count))
    bearing = random.uniform(0, 2 * np.pi, count)
    return Campaigns(
        starts=starts,
        stops=starts + random.exponential(CAMPAIGN_DAYS, count),
        origin_m=roads_m[random.integers(0, len(roads_m), count)],
        velocity_m_per_day=CAMPAIGN_SPEED_M_PER_DAY * np.column_stack(portable_math.direction(bearing)),
        road_share=road_share,
        centres=cKDTree(centre_m),
    )


@lru_cache(maxsize=32)
def _shares(campaigns: Campaigns, week: int) -> sparse.csr_array:
    """Return each campaign's share in each cell in a week, shape (cells, campaigns); a campaign moves once a week.

    A campaign that has left the roads brings nothing.
    """
    near = np.flatnonzero((campaigns.starts < 7 * week + 7) & (7 * week - LONGEST_HORIZON_DAYS < campaigns.stops))
    rows, columns, shares = [np.empty(0, int)], [np.empty(0, int)], [np.empty(0)]
    for campaign in near:
        age_days = 7 * week - campaigns.starts[campaign]
        centre = campaigns.origin_m[campaign] + age_days * campaigns.velocity_m_per_day[campaign]
        cells = np.array(campaigns.centres.query_ball_point(centre, 3 * CAMPAIGN_WIDTH_M), dtype=int)
        square_m2 = np.sum(np.square(campaigns.centres.data[cells] - centre), axis=1)
        spread = portable_math.exp(-square_m2 / (2 * CAMPAIGN_WIDTH_M * CAMPAIGN_WIDTH_M))
        weight = campaigns.road_share[cells] * spread
        if weight.sum() > 0:
            rows.append(cells)
            columns.append(np.full(len(cells), campaign))
            shares.append(weight / weight.sum())
    shape = (len(campaigns.road_share), len(campaigns.starts))
    return sparse.csr_array((np.concatenate(shares), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
