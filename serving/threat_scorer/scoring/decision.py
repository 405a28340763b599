"""A model's output for a detection -> the decision: fused with the place, novel or not, alarm or not.

`Scorer`, the stream and the running process all decide here. Each formats the result in its own way.
"""

from dataclasses import dataclass
from math import exp, log, nan
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

NOVELTY_LIMIT = 1.0
"""A row whose novelty is over this is unlike the training."""

Number = TypeVar("Number", float, npt.NDArray[np.float32])
Flag = TypeVar("Flag", bool, npt.NDArray[np.bool_])


class IntervalAndNovelty(NamedTuple, Generic[Number]):
    """How far the graph trusts its probability: numbers of one row, or arrays of shape (n,)."""

    low: Number
    """Lower end of the probability's interval."""
    high: Number
    """Upper end."""
    novelty: Number
    """How unlike the training; over `NOVELTY_LIMIT` for a share `false_flags` (in the contract) of new groups."""


class ModelOutput(NamedTuple, Generic[Number]):
    """The output of a model's graph: numbers of one row, or arrays of shape (n,)."""

    probability: Number
    log_odds: Number
    """Fused with the prior, where one was given."""
    own_log_odds: Number
    """Without a prior."""
    interval_and_novelty: IntervalAndNovelty[Number] | None = None
    """None where it was not requested, or the model has none."""
    contributions: npt.NDArray[np.float32] | None = None
    """Of one row: log-odds that each feature adds to those of a typical row, (features,). None as above."""


class Uncertainty(NamedTuple, Generic[Number, Flag]):
    """How far a prediction is to be trusted: of one record, or arrays of shape (n,)."""

    low: Number
    """Lower end of the probability's interval."""
    high: Number
    """Upper end."""
    novelty: Number
    """How unlike the training."""
    novel: Flag
    """Whether the record is unlike the training: its novelty is over `NOVELTY_LIMIT`, or a value is out of range."""
    abstained: Flag
    """Whether the model withholds its probability, by its policy for novel records."""


class Prediction(NamedTuple, Generic[Number, Flag]):
    """A model's prediction: of one record, or arrays of shape (n,)."""

    probability: Number
    """NaN where the model abstained."""
    log_odds: Number
    """Fused with the prior, where one was given; NaN where the model abstained."""
    own_log_odds: Number
    """Of the sensor alone."""
    uncertainty: Uncertainty[Number, Flag] | None
    """None where it was not requested, or the model has none."""


class Decision(NamedTuple):
    """Whether a probability is an alarm."""

    alarm: bool
    operating_point: str
    """Name of the policy that decided."""
    threshold: float
    """The policy's probability: at and above it is an alarm."""


@dataclass(frozen=True)
class Posterior:
    """The probability that a sensor and its place give together."""

    probability: float
    log_odds: float
    sensor_log_odds: float
    prior_log_odds: float | None
    """None where the prior does not know the cell: then the sensor decides alone."""


def predict(output: ModelOutput[Number], out_of_range: Flag, *, abstains: bool) -> Prediction[Number, Flag]:
    """Decide whether rows are unlike the training, and whether the model abstains from them.

    Parameters
    ----------
    output
        Of one row, or of n rows.
    out_of_range
        Whether a value of the row lies outside the contract's range: a bool, or an array of shape (n,).
    abstains
        Whether the contract's policy is to withhold the probability of a novel record.

    Returns
    -------
    Prediction
        Of the same shape. Probability, log-odds and interval are NaN where the model abstained.

    Examples
    --------
    >>> output = ModelOutput(0.7, 0.85, 0.85, IntervalAndNovelty(0.5, 0.9, 1.2))
    >>> predict(output, False, abstains=False).uncertainty
    Uncertainty(low=0.5, high=0.9, novelty=1.2, novel=True, abstained=False)
    >>> predict(output, False, abstains=True).probability
    nan
    """
    if output.interval_and_novelty is None:
        return Prediction(output.probability, output.log_odds, output.own_log_odds, None)
    low, high, novelty = output.interval_and_novelty
    novel: Any = (novelty > NOVELTY_LIMIT) | out_of_range  # a bool or an array, as the output is
    abstained = novel & abstains
    uncertainty = Uncertainty(_unless(abstained, low), _unless(abstained, high), novelty, novel, abstained)
    probability, log_odds = _unless(abstained, output.probability), _unless(abstained, output.log_odds)
    return Prediction(probability, log_odds, output.own_log_odds, uncertainty)


def decide(probability: float, operating_point: str, threshold: float) -> Decision:
    """Decide whether a probability is an alarm.

    Parameters
    ----------
    probability
        As the model gives it, not rounded.
    operating_point, threshold
        Name and probability of one of the contract's operating points.
    """
    return Decision(probability >= threshold, operating_point, threshold)


def fuse(sensor_log_odds: float, prior_log_odds: float | None, *, base_rate: float) -> Posterior:
    """Put a sensor's and a place's log-odds together: sensor + prior - log-odds of the sensor model's base rate.

    This is Bayes' rule where, given hazard or none, the sensor's measurement does not depend on the place.

    Parameters
    ----------
    sensor_log_odds
        Of the detection alone.
    prior_log_odds
        Of the place; None where it is not known: then the sensor decides alone.
    base_rate
        Share of hazards in the rows that the sensor model learnt from, between 0 and 1.

    Examples
    --------
    >>> round(fuse(0.0, 1.0, base_rate=0.5).probability, 3)  # a sensor that knows nothing leaves the prior
    0.731
    """
    total = sensor_log_odds if prior_log_odds is None else sensor_log_odds + prior_log_odds - logit(base_rate)
    return Posterior(_probability(total), total, sensor_log_odds, prior_log_odds)


def logit(probability: float) -> float:
    """Return the log-odds of a probability between 0 and 1."""
    return log(probability / (1 - probability))


def _probability(log_odds: float) -> float:
    if log_odds < 0:  # exp of a large number overflows, of a small one does not
        return exp(log_odds) / (1 + exp(log_odds))
    return 1 / (1 + exp(-log_odds))


def _unless(abstained: Any, value: Any) -> Any:
    """Return the value, or NaN where the model abstained."""
    if isinstance(abstained, bool):
        return nan if abstained else value
    return np.where(abstained, np.float32(nan), value)
