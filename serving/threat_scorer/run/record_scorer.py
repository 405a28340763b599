"""One line of an input -> the record to deliver: a score with all its fields, or a rejection with its reason."""

import hashlib
import json
import os
import reprlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from typing import Any, Literal

from threat_scorer.bundle.prior import Prior
from threat_scorer.errors import ConfigError, RecordError, ScoringError
from threat_scorer.run.clock import Moment, iso, parse_iso
from threat_scorer.run.config.position import Position
from threat_scorer.run.outbox.outbox import Entry
from threat_scorer.run.sensor_monitor import SensorMonitor
from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.decision import Prediction, decide, logit, predict
from threat_scorer.scoring.explanations import Reasons
from threat_scorer.scoring.float32 import shortest
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong
from threat_scorer.scoring.model import Model
from threat_scorer.scoring.records import parse_record, record_id

LONGEST_ID = 256
AHEAD_S = 300.0
"""An observation from further ahead than this was stamped by a clock that is wrong."""

POSITION = (("latitude_deg", -90, 90), ("longitude_deg", -180, 180), ("error_m", 0, 1_000_000))
"""Keys of a record that say where it was observed (WGS-84), with their limits; the last one may be missing."""

LIKELIHOOD_BOUNDS = (0.05, 0.20, 0.45, 0.55, 0.80, 0.95)
LIKELIHOOD_WORDS = (
    "almost no chance",
    "very unlikely",
    "unlikely",
    "roughly even chance",
    "likely",
    "very likely",
    "almost certain",
)


def likelihood(probability: float) -> str:
    """Return the estimative words for a probability (MISP estimative-language, lower bounds 0/5/20/45/55/80/95 %).

    >>> likelihood(0.55), likelihood(0.04)
    ('likely', 'almost no chance')
    """
    return LIKELIHOOD_WORDS[bisect_right(LIKELIHOOD_BOUNDS, probability)]


def operating_point(contract: Contract, name: str | None) -> tuple[str, float] | None:
    """Return name and probability of the point at which an alarm is called; None where the model has none.

    Raises
    ------
    ConfigError
        The model has none of that name, or several and no name was given.
    """
    points = contract.operating_points
    if name is None and len(points) <= 1:
        return next(iter(points.items()), None)
    if name in points:
        return name, points[name]
    got = "nothing" if name is None else repr(name)
    raise ConfigError(f"operating_point: got {got}; expected one that {contract.model} has: {', '.join(points)}")


class RecordScorer:
    """Scores the records of one input.

    Parameters
    ----------
    model
        The model that scores.
    bundle
        Identity of the bundle that it came from.
    device, source
        Names of the device and of the input, for the record.
    point
        Name of the operating point at which an alarm begins; see `operating_point`.
    prior
        Log-odds of each cell; they are fused with the score of a record that names its ``cell``.
    reasons
        Which scores have reasons; ``alarms`` are those at or above the operating point.
    position
        Where the device stands, for records without a position; None for a device that moves.
    monitor
        Finds faults of the sensor; None for none.
    """

    def __init__(
        self,
        model: Model,
        *,
        bundle: str,
        device: str,
        source: str,
        point: str | None = None,
        prior: Prior | None = None,
        reasons: Literal["all", "alarms", "none"] = "all",
        position: Position | None = None,
        monitor: SensorMonitor | None = None,
    ) -> None:
        self.model_failures = 0
        """Records for which the model gave what is no probability."""
        self._model, self._source, self._prior = model, source, prior
        self._point = operating_point(model.contract, point)
        contract = model.contract
        self._monitor = monitor
        self._position = None if position is None else asdict(position)
        self._horizon_s = None if contract.horizon_days is None else contract.horizon_days * 86_400.0
        self._reasons = Reasons(contract) if reasons != "none" else None
        self._explains_all = reasons == "all" or (reasons == "alarms" and self._point is None)
        version = contract.booster_digest.removeprefix("sha256:")[:12]
        self._of = {"device": device, "model": contract.model, "model_version": version, "bundle": bundle}
        self._tail: dict[str, Any] = {
            "marking": {
                "originator": contract.marking.originator,
                "releasable_to": list(contract.marking.releasable_to),
                "tlp": contract.marking.tlp,
            }
        }
        if contract.simulated:
            self._tail["simulated"] = True

    def score(self, line: bytes | TooLong, *, number: int, moment: Moment, place: str | None = None) -> Entry:
        """Score one line.

        Parameters
        ----------
        line
            As it was read, without its end.
        number
            Of the line within its input, for messages.
        moment
            When it is scored.
        place
            Names the line for good, as inode and offset of a file do. The key of a record without ``id`` is made of it.

        Returns
        -------
        Entry
            A score or a rejection. The key is the same for the same line with the same ``id``.
        """
        record: Mapping[str, Any] = {}
        try:
            if isinstance(line, TooLong):
                raise RecordError(f"line is longer than {LONGEST_LINE_BYTES} bytes")
            record = parse_record(line)
            key = self._key(line if "id" in record else None, place)
            score, probability = self._score(record, key, moment)
        except (RecordError, ScoringError) as error:
            rejection = {"type": "rejection", "id": _safe_id(record), "input": self._source, "line": number}
            said = {**rejection, "error": str(error), "scored_at": iso(moment.at), **_time_doubt(moment.uncertain)}
            kept = line if isinstance(line, bytes) and "id" in record else None
            return Entry(self._key(kept, place), _json({**said, **self._of, **self._tail}), None)
        return Entry(key, _json(score), probability)

    def _key(self, line: bytes | None, place: str | None) -> str:
        if line is None and place is None:
            return os.urandom(16).hex()
        of = json.dumps([*self._of.values(), self._source if line is None else "", place if line is None else ""])
        return hashlib.blake2b(of.encode() + b"\n" + (line or b""), digest_size=16).hexdigest()

    def _score(self, record: Mapping[str, Any], key: str, moment: Moment) -> tuple[dict[str, Any], float]:
        contract = self._model.contract
        values, outside = self._model.reader.read(record)
        identity = record_id(record, 0) if "id" in record else key
        if identity != _safe_id({"id": identity}):
            raise RecordError(f"id: got {reprlib.repr(identity)}; expected at most {LONGEST_ID} characters, or 64 bits")
        observed, doubtful = _observed(record, moment)
        prior, doubt = self._prior_at(record, moment)
        output = self._model.predict_row(values, prior, uncertainty=True, contributions=self._explains_all)
        prediction = predict(output, bool(outside), abstains=contract.abstains)
        uncertainty = _uncertainty(prediction, outside)
        said: dict[str, Any] = {"type": "score", "id": identity, "input": self._source, "observed_at": observed}
        said |= {"scored_at": iso(moment.at), **_time_doubt(moment.uncertain or doubtful)}
        parts: dict[str, Any] = {"sensor_log_odds": shortest(prediction.own_log_odds)}
        if prior is not None:
            parts["prior_log_odds"] = shortest(prior)
        shown = shortest(prediction.probability)
        said |= {"probability": shown, "likelihood": likelihood(shown), "parts": parts, **uncertainty}
        alarm = None
        if self._point:
            decision = decide(prediction.probability, *self._point)
            alarm, said["decision"] = decision.alarm, decision._asdict()
        if self._reasons and not self._explains_all and alarm:
            output = self._model.predict_row(values, contributions=True)
        if self._reasons and output.contributions is not None:
            place = None if prior is None else prior - logit(contract.base_rate)
            said["reasons"] = list(self._reasons.words(values, output.contributions, place=place))
        said |= self._place(record)
        if self._horizon_s is not None:
            said["expires_at"] = iso(moment.at + self._horizon_s)
        if doubt:
            said["prior_doubt"] = doubt
        if outside:
            said["out_of_range"] = list(outside)
        if missing := [entry.name for entry, value in zip(contract.inputs, values, strict=True) if isnan(value)]:
            said["missing"] = missing
        if self._monitor and (faults := self._monitor.update(values, outside)):
            said["sensor_faults"] = list(faults)
        return {**said, **self._of, **self._tail}, shown

    def _place(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return where it was observed; a position that cannot be is no reason to lose an alarm."""
        if "latitude_deg" not in record and "longitude_deg" not in record:
            return {"position": self._position} if self._position else {}
        found = {}
        for name, low, high in POSITION:
            value = record.get(name)
            if value is None and name == "error_m":
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                return {"position_doubt": f"{name}: not within {low} to {high}"}
            found[name] = value
        return {"position": found}

    def _prior_at(self, record: Mapping[str, Any], moment: Moment) -> tuple[float | None, str | None]:
        """Return the log-odds of the record's cell beforehand, and what is wrong: it costs no score."""
        cell = record.get("cell")
        if self._prior is None:
            return None, None
        if cell is None:
            return None, "cell: none given, the base rate stands for it"
        try:
            prior = self._prior.at(cell)
        except (RecordError, TypeError, ValueError):
            return None, "cell: not an H3 cell"
        if prior is None:
            return None, "cell: not in the prior"
        if moment.uncertain or moment.at < parse_iso(self._prior.terms.until):
            return prior, None
        return prior, f"it spoke of a period until {self._prior.terms.until}"


def _uncertainty(prediction: Prediction[float, bool], outside: tuple[str, ...]) -> dict[str, Any]:
    """Return how far the probability is to be trusted; raise `ScoringError` where the model abstained."""
    if prediction.uncertainty is None:
        return {}
    low, high, novelty, novel, abstained = prediction.uncertainty
    if abstained:
        raise ScoringError(
            f"abstained: unlike the training (novelty {shortest(novelty)}, out of range {list(outside)})"
        )
    interval = {"interval": [shortest(low), shortest(high)], "novelty": shortest(novelty)}
    return {**interval, "novel": True} if novel else interval


def _time_doubt(uncertain: bool) -> dict[str, bool]:
    return {"time_uncertain": True} if uncertain else {}


def _observed(record: Mapping[str, Any], moment: Moment) -> tuple[str | None, bool]:
    """Return when it was observed, and whether that is doubtful: a bad stamp is no reason to lose an alarm."""
    given = record.get("observed_at")
    if given is None:
        return None, False
    try:
        at = parse_iso(given)
        return iso(at), at > moment.at + AHEAD_S
    except (TypeError, ValueError, OverflowError):
        return None, True


def _safe_id(record: Mapping[str, Any]) -> str | int | None:
    value = record.get("id")
    if type(value) is str:
        return value[:LONGEST_ID]
    return value if type(value) is int and abs(value) < 2**63 else None


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
