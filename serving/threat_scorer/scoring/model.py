"""One ONNX file -> its contract and a session that turns inputs into probabilities, one row or many."""

import threading
from collections.abc import Mapping
from math import isnan, log
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from threat_scorer.errors import BundleError, ScoringError
from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.features import FeatureError, Float32Array, RowAssembler, assemble, unmasked
from threat_scorer.scoring.golden import Golden
from threat_scorer.scoring.onnx_session import (
    ASSESS,
    CAUTIOUS,
    CONTRIBUTIONS,
    EXPLAIN,
    INPUT,
    OUTPUTS,
    PRIOR,
    check_graph,
    one_line,
    open_session,
    read_contract,
    read_golden,
)
from threat_scorer.scoring.records import RecordReader

NOVEL = 1.0
"""A novelty over this is unlike the training."""

Number = TypeVar("Number", float, Float32Array)

TOLERANCE = 1e-5
"""How far a golden row may be off: releases of onnxruntime and processors differ in the last digits of float32 sums and
exponentials, a wrong leaf shows far above."""


class Assessment(NamedTuple, Generic[Number]):
    """A score and its doubts: numbers of one row, or arrays of shape (n,)."""

    probability: Number
    log_odds: Number
    low: Number
    """Lower end of the probability's interval."""
    high: Number
    """Upper end."""
    novelty: Number
    """How unlike the training; over `NOVEL`, more than the contract's share of false flags explains."""


class Model:
    """A model that is ready to score: loaded, checked against its contract, tested on its golden rows.

    Parameters
    ----------
    onnx
        Bytes of the ONNX file.
    where
        Names the file in messages.

    Raises
    ------
    BundleError
        The file is not ONNX, lacks contract or golden rows, its graph and its contract disagree, or it gives other
        numbers here than where it was made.
    """

    def __init__(self, onnx: bytes, *, where: str) -> None:
        self._session = open_session(onnx, where)
        self.contract = read_contract(self._session, where)
        self.reader = RecordReader(self.contract.inputs)
        self._inputs = tuple(entry.name for entry in self.contract.inputs)
        self._assemble_row = _check_features(self.contract, self._inputs, where)
        rate = self.contract.base_rate
        self._base_log_odds = log(rate / (1 - rate))
        self._named = check_graph(self._session, self.contract, where)
        self._explains = CONTRIBUTIONS in {node.name for node in self._session.get_outputs()}
        self._bind_row()
        self._test(read_golden(self._session, where), where)

    def score(
        self, columns: Mapping[str, npt.ArrayLike], prior_log_odds: npt.ArrayLike | None = None
    ) -> tuple[Float32Array, Float32Array]:
        """Score n rows.

        Parameters
        ----------
        columns
            Every input of the contract, in its order, n values each; NaN where missing.
        prior_log_odds
            Of each row's place, to be fused with the model's own, shape (n,): NaN, as None, stands for the base rate.
            Only where the contract takes a prior.

        Returns
        -------
        probability, log_odds : ndarray of float32, shape (n,)

        Raises
        ------
        FeatureError
            A column that float32 cannot hold faithfully.
        ScoringError
            A probability outside [0, 1].
        """
        matrix = assemble(self.contract.model, columns)[1]
        probability, log_odds = self._run(OUTPUTS, self._feed(matrix, prior_log_odds))
        return probability[:, 0], log_odds[:, 0]

    def assess(
        self, columns: Mapping[str, npt.ArrayLike], prior_log_odds: npt.ArrayLike | None = None
    ) -> Assessment[Float32Array]:
        """Score n rows, with their intervals and novelty; as `score`, for a contract with `caution`."""
        return self._assess(assemble(self.contract.model, columns)[1], prior_log_odds)

    def _assess(self, matrix: Float32Array, prior_log_odds: npt.ArrayLike | None = None) -> Assessment[Float32Array]:
        feed = {**self._feed(matrix, prior_log_odds), ASSESS: np.array(True)}
        probability, log_odds, interval, novelty = self._run((*OUTPUTS, *CAUTIOUS), feed)
        return Assessment(probability[:, 0], log_odds[:, 0], interval[:, 0], interval[:, 1], novelty[:, 0])

    def assess_row(self, values: list[float], prior_log_odds: float | None = None) -> Assessment[float]:
        """Return the score of one row with its interval and novelty; the same numbers as `assess`."""
        with self._lock:
            self._assemble_row(values, self._row)
            if self.contract.takes_prior:
                known = prior_log_odds is not None and not isnan(prior_log_odds)
                self._prior[0, 0] = prior_log_odds if known else self._base_log_odds
            self._session.run_with_iobinding(self._cautious)
            found = [float(number) for buffer in self._outputs for number in buffer[0]]
        self._refuse(found[0])
        return Assessment(*found)

    def score_row(self, values: list[float]) -> tuple[float, float]:
        """Return probability and log-odds of one row; the same numbers as `score`, in a fraction of the time."""
        with self._lock:  # the buffers are shared, and a run lets other threads in
            self._assemble_row(values, self._row)
            self._session.run_with_iobinding(self._binding)
            probability, log_odds = self._outputs[0].item(), self._outputs[1].item()
        self._refuse(probability)
        return probability, log_odds

    def contributions_row(self, values: list[float]) -> Float32Array | None:
        """Return the log-odds that each feature adds to those of a typical row, (features,); None where it cannot."""
        if not self._explains:
            return None
        with self._lock:
            self._assemble_row(values, self._row)
            matrix = self._row[None].copy()
        (added,) = self._session.run([CONTRIBUTIONS], {**self._feed(matrix), EXPLAIN: np.array(True)})
        row: Float32Array = added[0]
        return row

    def _refuse(self, probability: float) -> None:
        if not 0 <= probability <= 1:
            raise ScoringError(f"{self.contract.model}: got probability {probability}; the model is broken")

    def _feed(self, matrix: Float32Array, prior_log_odds: npt.ArrayLike | None = None) -> dict[str, npt.NDArray[Any]]:
        feed: dict[str, npt.NDArray[Any]] = {INPUT: matrix}
        if self._named:
            feed = {name: np.ascontiguousarray(matrix[:, [i]]) for i, name in enumerate(self.contract.features)}
        if prior_log_odds is not None:
            prior = np.asarray(unmasked(prior_log_odds), dtype=np.float64)
            if not self.contract.takes_prior or prior.shape != (len(matrix),):
                takes = (
                    f"shape ({len(matrix)},)"
                    if self.contract.takes_prior
                    else f"none: {self.contract.model} has no use"
                )
                raise FeatureError(f"prior_log_odds: got shape {prior.shape}; expected {takes}")
            feed[PRIOR] = np.where(np.isnan(prior), self._base_log_odds, prior)[:, None]
        return feed

    def _run(self, outputs: tuple[str, ...], feed: Mapping[str, npt.NDArray[Any]]) -> list[Float32Array]:
        found: list[Float32Array] = self._session.run(outputs, feed)
        if not ((found[0] >= 0) & (found[0] <= 1)).all():  # NaN fails too
            raise ScoringError(f"{self.contract.model}: got a probability outside 0 to 1; the model is broken")
        return found

    def _test(self, golden: Golden, where: str) -> None:
        """Score the golden rows: this device must come to what the maker of the model came to."""
        if golden.features.shape[1] != len(self.contract.features):
            raise BundleError(
                f"{where}: golden rows have {golden.features.shape[1]} features; expected {len(self.contract.features)}"
            )
        caution = None
        if (golden.caution is None) != (self.contract.caution is None):
            raise BundleError(f"{where}: golden rows and contract disagree on whether the model knows caution")
        try:
            row = [entry.low for entry in self.contract.inputs]
            probability, log_odds = (column[:, 0] for column in self._run(OUTPUTS, self._feed(golden.features)))
            self.score_row(row)  # the first run makes what later ones use
            if self.contract.caution:
                caution = np.stack(self._assess(golden.features)[2:], axis=1)
                self.assess_row(row)
        except Exception as error:  # see `_open_session`
            raise BundleError(f"{where}: its graph does not run: {one_line(error)}") from None
        wrong = ~(np.abs(probability - golden.probability) <= TOLERANCE) | ~(
            np.abs(log_odds - golden.log_odds) <= TOLERANCE * (1 + np.abs(golden.log_odds))
        )
        if caution is not None and golden.caution is not None:
            wrong |= ~(np.abs(caution - golden.caution) <= TOLERANCE * (1 + np.abs(golden.caution))).all(axis=1)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise BundleError(
                f"{where}: golden row {first}: got probability {probability[first]}, log-odds {log_odds[first]}; "
                f"expected {golden.probability[first]}, {golden.log_odds[first]}"
                f"{_shown(caution, golden.caution, first)}: damaged file or unlike device"
            )

    def _bind_row(self) -> None:
        """Give the session fixed buffers for one row, so that a score allocates nothing."""
        self._lock = threading.Lock()
        matrix = np.zeros((1, len(self.contract.features)), dtype=np.float32)
        self._row = matrix[0]
        columns = {name: matrix[:, i : i + 1] for i, name in enumerate(self.contract.features)}
        inputs: dict[str, npt.NDArray[Any]] = dict(columns) if self._named else {INPUT: matrix}
        widths = {**dict.fromkeys(OUTPUTS, 1), **(CAUTIOUS if self.contract.caution else {})}
        outputs = {name: np.zeros((1, width), dtype=np.float32) for name, width in widths.items()}
        self._outputs = list(outputs.values())
        self._binding = self._bound(inputs, {name: outputs[name] for name in OUTPUTS})
        if self.contract.caution:
            self._prior = np.full((1, 1), self._base_log_odds)
            prior = {PRIOR: self._prior} if self.contract.takes_prior else {}
            self._cautious = self._bound({**inputs, **prior, ASSESS: np.array(True)}, outputs)

    def _bound(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Mapping[str, Float32Array]) -> Any:
        binding = self._session.io_binding()
        for name, buffer in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(buffer))
        for name, output in outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(output))
        return binding


def _check_features(contract: Contract, inputs: tuple[str, ...], where: str) -> RowAssembler:
    try:
        assembler = RowAssembler(contract.model, inputs)
    except FeatureError as error:
        raise BundleError(f"{where}: {error}") from None
    if assembler.names != contract.features:
        raise BundleError(
            f"{where}: features: got {list(contract.features)}; this scorer makes {list(assembler.names)} "
            f"of the inputs {list(inputs)}: model and scorer are of different releases"
        )
    return assembler


def _shown(got: Float32Array | None, expected: Float32Array | None, row: int) -> str:
    return (
        "" if got is None or expected is None else f"; caution {got[row].tolist()}, expected {expected[row].tolist()}"
    )
