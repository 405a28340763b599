"""The gate for the operators after the trees: with a prior, and with interval and novelty requested."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from scipy.special import expit

from pipeline.export.gate.reference import Reference
from pipeline.export.gate.rows import Rows
from pipeline.model.log_odds import clipped
from pipeline.runtime.errors import StageError

Floats = NDArray[np.float64]

_PRIOR_SPREAD = 4.0
_NOVELTY_TOLERANCE = 1e-12


class ParityError(StageError):
    """The exported model differs from the booster; the message names the row, and the tree and node if any."""


def as_read(model: ort.InferenceSession, rows: Rows) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the rows as a model's inputs: one matrix, or a column for each feature; in its type."""
    inputs = model.get_inputs()
    values = rows.astype(np.float64) if "double" in inputs[0].type else rows
    if len(inputs) == 1 and inputs[0].name == "features":
        return {"features": values}
    return {entry.name: np.ascontiguousarray(values[:, [i]]) for i, entry in enumerate(inputs)}


def check_outputs(
    model: ort.InferenceSession,
    reference: Reference,
    rows: Rows,
    own: Floats,
    *,
    tolerance: float,
    where: str,
    start: int,
) -> None:
    """Compare the outputs of a model, with a prior and with `assess`, with its reference in double.

    Parameters
    ----------
    model, reference, rows
        Session of the exported model, what it must agree with, and (rows, features) to compare them on.
    own
        (rows,) the model's own log-odds in double.
    tolerance
        Largest difference of a probability; of a novelty, as a share of it where that is over 1.
    where, start
        Kind of the rows and number of the first, for messages.

    Raises
    ------
    ParityError
        The first row that differs by more.
    """
    formula, interval, novelty = reference.formula, reference.interval, reference.novelty
    if formula.base_log_odds is None and interval is None and novelty is None:
        return
    inputs: dict[str, NDArray[Any]] = dict(as_read(model, rows))
    names, prior = ["probability"], None
    if formula.base_log_odds is not None:
        chances = np.random.default_rng(start)
        prior = _PRIOR_SPREAD * chances.standard_normal(len(rows))
        inputs["prior_log_odds"] = prior[:, None]
    if interval or novelty:
        inputs["assess"] = np.array(True)
        names += [*(("interval", "own_log_odds") if interval else ()), *(("novelty",) if novelty else ())]
    given = dict(zip(names, model.run(names, inputs), strict=True))
    shift = formula.shift(prior)
    expected = expit(formula.log_odds(own, prior))
    assert_close(
        given["probability"][:, 0], expected, tolerance, what="probability with a prior", where=where, start=start
    )
    if interval:
        without = expit(given["own_log_odds"][:, 0].astype(np.float64))
        expected = expit(formula.clip(own))
        assert_close(without, expected, tolerance, what="probability without a prior", where=where, start=start)
        # a step of the table may begin between the two sums: either side of it is right
        near = [interval.of(own + side * tolerance * np.maximum(1, np.abs(own))) for side in (-1, 0, 1)]
        for column, side in enumerate(("lower", "upper")):
            got = given["interval"][:, column].astype(np.float64)
            choice = np.stack([expit(formula.clip(ends[column] + shift)) for ends in near])
            nearest = np.take_along_axis(choice, np.abs(choice - got).argmin(axis=0)[None], axis=0)[0]
            assert_close(got, nearest, 2 * tolerance, what=f"{side} end of the interval", where=where, start=start)
    if novelty:
        columns = clipped(rows[:, : len(novelty.inputs)])
        columns[np.isnan(rows[:, : columns.shape[1]])] = np.nan
        distance, got = novelty.of(columns), given["novelty"][:, 0].astype(np.float64)
        size = np.maximum(distance, 1)
        assert_close(
            got / size,
            distance / size,
            max(tolerance, _NOVELTY_TOLERANCE),
            what="share of the novelty",
            where=where,
            start=start,
        )


def assert_close(got: Floats, expected: Floats, tolerance: float, *, what: str, where: str, start: int) -> None:
    """Raise `ParityError` for the first number that is further off than `tolerance`.

    Parameters
    ----------
    got, expected
        (rows,) from ONNX and from LightGBM.
    tolerance
        Largest absolute difference.
    what, where, start
        Name of the number, kind of the rows and number of the first, for messages.
    """
    near = np.abs(got - expected) <= tolerance
    if not near.all():  # NaN is not near
        row = int(np.argmin(near))
        raise ParityError(
            f"{where} {start + row}: {what} {got[row]:.9g} from ONNX, {expected[row]:.9g} from LightGBM; expected at "
            f"most {tolerance} apart. Every leaf agrees, so no tree's questions are at fault"
        )
