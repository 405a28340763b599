"""A sensor's log-odds and those of its place -> the probability of both together."""

from dataclasses import dataclass
from math import exp, log


@dataclass(frozen=True)
class Posterior:
    """What a sensor and its place say together."""

    probability: float
    log_odds: float
    sensor_log_odds: float
    prior_log_odds: float | None
    """None where the prior does not know the cell: then the sensor speaks alone."""


def fuse(sensor_log_odds: float, prior_log_odds: float | None, *, base_rate: float) -> Posterior:
    """Put a sensor's and a place's log-odds together: sensor + prior - log-odds of the sensor model's base rate.

    This is Bayes' rule where, given hazard or none, what the sensor measures does not depend on the place.

    Parameters
    ----------
    base_rate
        Share of hazards in the rows that the sensor model learnt from, between 0 and 1.

    Examples
    --------
    >>> round(fuse(0.0, 1.0, base_rate=0.5).probability, 3)  # a sensor that says nothing leaves the prior
    0.731
    """
    if prior_log_odds is None:
        total = sensor_log_odds
    else:
        total = sensor_log_odds + prior_log_odds - log(base_rate / (1 - base_rate))
    return Posterior(_probability(total), total, sensor_log_odds, prior_log_odds)


def _probability(log_odds: float) -> float:
    if log_odds < 0:  # exp of a large number overflows, of a small one does not
        return exp(log_odds) / (1 + exp(log_odds))
    return 1 / (1 + exp(-log_odds))
