"""One line of an input -> the record to deliver: a score, or a rejection with its reason."""

import hashlib
import json
import os
import reprlib
from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from typing import Any, Literal

from threat_scorer.bundle.prior import Prior
from threat_scorer.errors import ConfigError, RecordError, ScoringError
from threat_scorer.run.clock import Moment, iso, parse_iso
from threat_scorer.run.config.position import Position
from threat_scorer.run.outbox.entries import Entry
from threat_scorer.run.record_fields import LONGEST_ID, likelihood, observed_at, position_fields, safe_id, time_doubt
from threat_scorer.run.sensor_monitor import SensorMonitor
from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.decision import Prediction, decide, logit, predict
from threat_scorer.scoring.explanations import Reasons
from threat_scorer.scoring.float32 import Float32Array, shortest
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong
from threat_scorer.scoring.model import Model
from threat_scorer.scoring.records import parse_record, record_id


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
        contract = model.contract
        self._model, self._source, self._prior, self._monitor = model, source, prior, monitor
        self._point = operating_point(contract, point)
        self._position = None if position is None else asdict(position)
        self._horizon_s = None if contract.horizon_days is None else contract.horizon_days * 86_400.0
        self._reasons = Reasons(contract) if reasons != "none" else None
        self._reasons_of_alarms_only = reasons == "alarms"
        version = contract.booster_digest.removeprefix("sha256:")[:12]
        self._origin = {"device": device, "model": contract.model, "model_version": version, "bundle": bundle}
        marking = contract.marking
        self._marking: dict[str, Any] = {
            "marking": {
                "originator": marking.originator,
                "releasable_to": list(marking.releasable_to),
                "tlp": marking.tlp,
            }
        }
        if contract.simulated:
            self._marking["simulated"] = True

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
            fields, probability = self._score(record, key, moment)
        except (RecordError, ScoringError) as error:
            self.model_failures += isinstance(error, ScoringError)
            named = line if isinstance(line, bytes) and "id" in record else None
            return Entry(self._key(named, place), self._rejection(record, number, moment, str(error)), None)
        return Entry(key, self._json(fields), probability)

    def _key(self, line: bytes | None, place: str | None) -> str:
        """Return a key made of the whole line, or of its place, or a random one where there is neither."""
        if line is None and place is None:
            return os.urandom(16).hex()
        of = json.dumps([*self._origin.values(), self._source if line is None else "", place if line is None else ""])
        return hashlib.blake2b(of.encode() + b"\n" + (line or b""), digest_size=16).hexdigest()

    def _rejection(self, record: Mapping[str, Any], number: int, moment: Moment, error: str) -> bytes:
        fields = {"type": "rejection", "id": safe_id(record.get("id")), "input": self._source, "line": number}
        return self._json(fields | {"error": error, "scored_at": iso(moment.at), **time_doubt(moment.uncertain)})

    def _score(self, record: Mapping[str, Any], key: str, moment: Moment) -> tuple[dict[str, Any], float]:
        """Return the fields of the score, in their order, and the probability as it stands in them."""
        contract = self._model.contract
        values, outside = self._model.reader.read(record)
        identity = record_id(record, 0) if "id" in record else key
        if identity != safe_id(identity):
            raise RecordError(f"id: got {reprlib.repr(identity)}; expected at most {LONGEST_ID} characters, or 64 bits")
        observed, doubtful = observed_at(record, moment)
        prior, prior_doubt = self._prior_at(record, moment)
        wants_reasons = self._reasons is not None
        output = self._model.predict_row(values, prior, uncertainty=True, contributions=wants_reasons)
        prediction = predict(output, bool(outside), abstains=contract.abstains)
        uncertainty = _uncertainty_fields(prediction, outside)
        probability = shortest(prediction.probability)
        log_odds = {"sensor_log_odds": shortest(prediction.own_log_odds)}
        if prior is not None:
            log_odds["prior_log_odds"] = shortest(prior)
        fields: dict[str, Any] = {"type": "score", "id": identity, "input": self._source, "observed_at": observed}
        fields |= {"scored_at": iso(moment.at), **time_doubt(moment.uncertain or doubtful)}
        fields |= {"probability": probability, "likelihood": likelihood(probability), "parts": log_odds, **uncertainty}
        alarm = None
        if self._point:
            decision = decide(prediction.probability, *self._point)
            alarm, fields["decision"] = decision.alarm, decision._asdict()
        fields |= self._reasons_field(values, output.contributions, prior, alarm=alarm)
        fields |= position_fields(record, self._position)
        if self._horizon_s is not None:
            fields["expires_at"] = iso(moment.at + self._horizon_s)
        if prior_doubt:
            fields["prior_doubt"] = prior_doubt
        if outside:
            fields["out_of_range"] = list(outside)
        if missing := [entry.name for entry, value in zip(contract.inputs, values, strict=True) if isnan(value)]:
            fields["missing"] = missing
        if self._monitor and (faults := self._monitor.update(values, outside)):
            fields["sensor_faults"] = list(faults)
        return fields, probability

    def _reasons_field(
        self, values: list[float], contributions: Float32Array | None, prior: float | None, *, alarm: bool | None
    ) -> dict[str, Any]:
        """Return the strongest reasons in words; nothing where the model has none, or this score needs none."""
        if self._reasons is None or contributions is None or (self._reasons_of_alarms_only and alarm is False):
            return {}
        place = None if prior is None else prior - logit(self._model.contract.base_rate)
        return {"reasons": list(self._reasons.words(values, contributions, place=place))}

    def _prior_at(self, record: Mapping[str, Any], moment: Moment) -> tuple[float | None, str | None]:
        """Return the log-odds of the record's cell, and what is wrong with them: it costs no score."""
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
        return prior, f"the prior is for a period until {self._prior.terms.until}"

    def _json(self, fields: dict[str, Any]) -> bytes:
        return json.dumps({**fields, **self._origin, **self._marking}, allow_nan=False).encode()


def operating_point(contract: Contract, name: str | None) -> tuple[str, float] | None:
    """Return name and probability of the point at which an alarm begins; None where the model has none.

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


def _uncertainty_fields(prediction: Prediction[float, bool], outside: tuple[str, ...]) -> dict[str, Any]:
    """Return interval and novelty as fields; raise `RecordError` where the model abstained."""
    if prediction.uncertainty is None:
        return {}
    low, high, novelty, novel, abstained = prediction.uncertainty
    if abstained:
        raise RecordError(f"abstained: unlike the training (novelty {shortest(novelty)}, out of range {list(outside)})")
    fields = {"interval": [shortest(low), shortest(high)], "novelty": shortest(novelty)}
    return {**fields, "novel": True} if novel else fields
