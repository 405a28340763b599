"""JSON Lines in -> JSON Lines out: one score a record, in order, as soon as its line is there.

A live feed gets its score at once. A file is scored in batches, because all lines that are ready are read together.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from threat_scorer.errors import RecordError
from threat_scorer.scoring.decision import IntervalAndNovelty, ModelOutput, Prediction, predict
from threat_scorer.scoring.float32 import shortest
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong, read_lines
from threat_scorer.scoring.model import Model
from threat_scorer.scoring.records import parse_record, record_id


@dataclass
class Counts:
    """How many records were scored, and how many could not be, so far."""

    scored: int = 0
    failed: int = 0


def score_stream(
    read: Callable[[int], bytes],
    write: Callable[[bytes], Any],
    *,
    model: Model,
    bundle: str,
    counts: Counts,
) -> None:
    """Score every line of a stream that is not blank; lines are numbered as they stand in it.

    Parameters
    ----------
    read
        Takes a number of bytes; returns at least one and at most so many, as soon as some are there. Returns nothing at
        the end.
    write
        Takes the scores of the lines at hand, and passes them on at once.
    model
        The model that scores.
    bundle
        Identity of the bundle that it came from.
    counts
        Counted up before scores are written, so that it is right when the stream breaks off.
    """
    number = 0
    for lines in read_lines(read):
        scores = _score_lines(lines, number + 1, model, bundle)
        number += len(lines)
        failed = sum("error" in score for score in scores)
        counts.failed += failed
        counts.scored += len(scores) - failed
        write(b"".join(json.dumps(score).encode() + b"\n" for score in scores))


def _score_lines(lines: list[bytes | TooLong], first: int, model: Model, bundle: str) -> list[dict[str, Any]]:
    """Score the records among lines numbered from `first`; those that can be read are scored together."""
    results: list[dict[str, Any]] = []
    rows: list[list[float]] = []
    scores: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=first):
        if isinstance(line, bytes) and not line.strip():
            continue
        try:
            score, values = _read(line, number, model, bundle)
        except RecordError as error:
            results.append({"line": number, "error": str(error)})
        else:
            results.append(score)
            scores.append(score)
            rows.append(values)
    for score, prediction in zip(scores, _predictions(rows, scores, model), strict=True):
        score |= _formatted(prediction)
    return results


def _read(line: bytes | TooLong, number: int, model: Model, bundle: str) -> tuple[dict[str, Any], list[float]]:
    """Read one line as a score that still lacks its probability, and the values of the inputs."""
    if isinstance(line, TooLong):
        raise RecordError(f"line is longer than {LONGEST_LINE_BYTES} bytes")
    record = parse_record(line)
    values, out_of_range = model.reader.read(record)
    score: dict[str, Any] = {
        "id": record_id(record, number),
        "model": model.contract.model,
        "probability": None,
        "bundle": bundle,
    }
    if out_of_range:
        score["out_of_range"] = out_of_range
    if model.contract.simulated:
        score["simulated"] = True
    return score, values


def _predictions(
    rows: list[list[float]], scores: list[dict[str, Any]], model: Model
) -> Iterator[Prediction[float, bool]]:
    """Yield the prediction of each row; its score names the inputs that are out of range."""
    for output, score in zip(_outputs(rows, model), scores, strict=True):
        yield predict(output, "out_of_range" in score, abstains=model.contract.abstains)


def _outputs(rows: list[list[float]], model: Model) -> Iterator[ModelOutput[float]]:
    """Yield the model's output for each row, with uncertainty where it has one."""
    uncertainty = model.has_uncertainty
    if len(rows) == 1:  # one row alone, as a live feed has it, is quicker by itself
        yield model.predict_row(rows[0], uncertainty=uncertainty)
    elif rows:
        columns = dict(zip((entry.name for entry in model.contract.inputs), np.array(rows, np.float64).T, strict=True))
        output = model.predict(columns, uncertainty=uncertainty)
        numbers = zip(output.probability.tolist(), output.log_odds.tolist(), output.own_log_odds.tolist(), strict=True)
        if output.interval_and_novelty is None:
            yield from (ModelOutput(*row) for row in numbers)
        else:
            more = zip(*(column.tolist() for column in output.interval_and_novelty), strict=True)
            for row, interval_and_novelty in zip(numbers, more, strict=True):
                yield ModelOutput(*row, IntervalAndNovelty(*interval_and_novelty))


def _formatted(prediction: Prediction[float, bool]) -> dict[str, Any]:
    """Return the part of a score with the prediction; an abstention has neither probability nor interval."""
    uncertainty = prediction.uncertainty
    if uncertainty is None:
        return {"probability": shortest(prediction.probability)}
    if uncertainty.abstained:
        return {"probability": None, "novelty": shortest(uncertainty.novelty), "novel": True, "abstained": True}
    return {
        "probability": shortest(prediction.probability),
        "interval": [shortest(uncertainty.low), shortest(uncertainty.high)],
        "novelty": shortest(uncertainty.novelty),
        **({"novel": True} if uncertainty.novel else {}),
    }
