"""Events -> what three partners report of them: some, late, roughly, sometimes twice, sometimes wrongly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.runtime import portable_math
from pipeline.simulate.ground import Floats, Ground
from pipeline.simulate.scenario import Scenario

STATUS = ("report", "correction", "withdrawal")


@dataclass(frozen=True)
class Partner:
    """How one partner reports; shares are of its reports."""

    name: str
    letter: str
    """First letter of its record ids."""
    coverage: Mapping[str, float]
    """Share of the events of each type that it reports."""
    delay_days: float
    """Median time from the event to the report."""
    delay_spread: float
    """Standard deviation of the logarithm of that time."""
    error_m: float
    """Standard deviation of its positions, east and north."""
    stated_precision_m: float
    """Radius about the stated position in which it expects the true place."""
    precisions: Mapping[str, float]
    """Share of reports with each precision of date."""
    unnamed: float
    """Share that does not name the hazard."""
    repeated: float
    """Share that is sent again under another record id."""
    invented_per_cell_day: float
    """Reports of explosions that nobody had."""
    corrected: float
    """Share that is corrected later: a better place."""
    withdrawn: float
    """Share of the invented that is withdrawn later."""
    reliability: Mapping[str, float]
    """Admiralty letter -> share."""
    credibility: Mapping[int, float]
    """Admiralty figure -> share."""


PARTNERS = (
    Partner(
        name="command",
        letter="C",
        coverage={
            "explosion": 0.75,
            "found_cleared": 0.85,
            "seizure": 0.9,
            "attack_other": 0.8,
            "threat_report": 0.7,
            "hoax_false": 0.8,
        },
        delay_days=0.8,
        delay_spread=0.9,
        error_m=80,
        stated_precision_m=200,
        precisions={"minute": 1.0},
        unnamed=0.05,
        repeated=0.01,
        invented_per_cell_day=2e-5,
        corrected=0.05,
        withdrawn=0.5,
        reliability={"A": 0.6, "B": 0.35, "F": 0.05},
        credibility={1: 0.3, 2: 0.5, 3: 0.15, 6: 0.05},
    ),
    Partner(
        name="mine_action",
        letter="M",
        coverage={"explosion": 0.45, "found_cleared": 0.35},
        delay_days=18,
        delay_spread=0.7,
        error_m=250,
        stated_precision_m=500,
        precisions={"day": 1.0},
        unnamed=0.02,
        repeated=0.01,
        invented_per_cell_day=0.0,
        corrected=0.1,
        withdrawn=0.0,
        reliability={"B": 0.8, "C": 0.2},
        credibility={1: 0.1, 2: 0.7, 3: 0.2},
    ),
    Partner(
        name="monitor",
        letter="N",
        coverage={"explosion": 0.6, "found_cleared": 0.1, "attack_other": 0.6, "threat_report": 0.3},
        delay_days=3,
        delay_spread=1.1,
        error_m=900,
        stated_precision_m=2_000,
        precisions={"day": 0.9, "week": 0.1},
        unnamed=0.2,
        repeated=0.08,
        invented_per_cell_day=5e-5,
        corrected=0.05,
        withdrawn=0.4,
        reliability={"C": 0.5, "D": 0.3, "E": 0.05, "F": 0.15},
        credibility={2: 0.2, 3: 0.4, 4: 0.2, 5: 0.05, 6: 0.15},
    ),
)


def report(partner: Partner, events: pd.DataFrame, scenario: Scenario, ground: Ground) -> pd.DataFrame:
    """Return every report of one partner, corrections and withdrawals among them.

    Parameters
    ----------
    partner
        How it reports.
    events
        As in `Happenings.events`.
    scenario, ground
        The theatre.

    Returns
    -------
    DataFrame
        record_id, status, event_id (missing where nothing happened), day, precision, reported_day, x_m, y_m,
        location_precision_m, event_type, hazard, victim_count, source_reliability, information_credibility; in the
        order of the reports. Two rows of one record_id are versions of one report.
    """
    random = scenario.random(f"partner {partner.name}")
    reported = random.random(len(events)) < events["event_type"].map(partner.coverage).fillna(0).to_numpy()
    first = events[reported].drop(columns="fate_day", errors="ignore")
    again = first[random.random(len(first)) < partner.repeated]
    reports = pd.concat([first, again, _invented(partner, scenario, ground, random)], ignore_index=True)
    count = len(reports)
    reports["true_x_m"], reports["true_y_m"] = reports["x_m"], reports["y_m"]
    _place(reports, partner.error_m, partner.stated_precision_m, random)
    reports["reported_day"] = reports["day"] + partner.delay_days * portable_math.exp(
        random.normal(0, partner.delay_spread, count)
    )
    reports["precision"] = _draw(partner.precisions, count, random)
    reports["source_reliability"] = _draw(partner.reliability, count, random)
    reports["information_credibility"] = _draw(partner.credibility, count, random)
    reports["status"] = "report"
    reports.loc[random.random(count) < partner.unnamed, "hazard"] = "unknown"
    reports = reports.sort_values(["reported_day", "day"], ignore_index=True)
    reports["record_id"] = [f"{partner.letter}{number:06d}" for number in range(1, count + 1)]
    versions = pd.concat([reports, _corrections(partner, reports, random), _withdrawals(partner, reports, random)])
    versions = versions[versions["reported_day"] < scenario.size.days]
    return versions.sort_values(["reported_day", "record_id"], ignore_index=True).drop(columns=["true_x_m", "true_y_m"])


def rumoured(ground: Ground) -> Floats:
    """Return the share of each cell in what is invented: most where people live, a little anywhere; shape (cells,)."""
    weight = 0.5 + np.square(portable_math.log1p(ground.population))
    return np.asarray(weight / weight.sum())


def _invented(partner: Partner, scenario: Scenario, ground: Ground, random: np.random.Generator) -> pd.DataFrame:
    """Return reports of explosions that never happened."""
    count = random.poisson(partner.invented_per_cell_day * len(ground.cells) * scenario.size.days)
    cell = random.choice(len(ground.cells), count, p=rumoured(ground))
    points_m = ground.centre_m[cell] + random.uniform(-900, 900, (count, 2))
    return pd.DataFrame(
        {
            "event_id": pd.Series([None] * count, dtype=object),
            "x_m": points_m[:, 0],
            "y_m": points_m[:, 1],
            "day": random.uniform(0, scenario.size.days, count),
            "event_type": "explosion",
            "hazard": "ied",
            "victim_count": 0.0,
        }
    )


def _corrections(partner: Partner, reports: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Send some reports again, later, with a place half as far off."""
    corrected = reports[random.random(len(reports)) < partner.corrected].copy()
    corrected["x_m"], corrected["y_m"] = corrected["true_x_m"], corrected["true_y_m"]
    _place(corrected, partner.error_m / 2, partner.stated_precision_m / 2, random)
    corrected["reported_day"] += random.gamma(2.0, 10.0, len(corrected))
    corrected["status"] = "correction"
    return corrected


def _withdrawals(partner: Partner, reports: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Take back some reports of what did not happen."""
    withdrawn = reports[reports["event_id"].isna() & (random.random(len(reports)) < partner.withdrawn)].copy()
    withdrawn["reported_day"] += 5 + random.gamma(2.0, 15.0, len(withdrawn))
    withdrawn["status"] = "withdrawal"
    return withdrawn


def _place(reports: pd.DataFrame, error_m: float, stated_m: float, random: np.random.Generator) -> None:
    """Move the reports' positions by the partner's error, and state its precision."""
    reports[["x_m", "y_m"]] += random.normal(0, error_m, (len(reports), 2))
    reports["location_precision_m"] = stated_m


def _draw(shares: Mapping[Any, float], count: int, random: np.random.Generator) -> NDArray[Any]:
    return np.asarray(random.choice(np.array(list(shares)), count, p=list(shares.values())))
