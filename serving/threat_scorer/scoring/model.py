"""One ONNX file -> its contract and a session that turns inputs into probabilities, one row or many."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from threat_scorer.errors import BundleError, ScoringError
from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.decision import IntervalAndNovelty, ModelOutput, fuse, logit
from threat_scorer.scoring.features import RowAssembler, assemble
from threat_scorer.scoring.float32 import FeatureError, Float32Array, unmasked
from threat_scorer.scoring.golden import Golden
from threat_scorer.scoring.onnx_session import (
    ASSESS,
    CONTRIBUTIONS,
    EXPLAIN,
    INPUT,
    OUTPUTS,
    PRIOR,
    UNCERTAINTY,
    check_graph,
    one_line,
    open_session,
    read_contract,
    read_golden,
)
from threat_scorer.scoring.records import RecordReader

TOLERANCE = 1e-5
"""How far a golden row may be off. Releases of onnxruntime and processors differ in the last digits of float32 sums
and exponentials. A wrong leaf shows far above."""

_TRUE = np.array(True)


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
        self._base_log_odds = logit(self.contract.base_rate)
        self._named = check_graph(self._session, self.contract, where)
        self._explains = CONTRIBUTIONS in {node.name for node in self._session.get_outputs()}
        self._bind_row()
        self._test(read_golden(self._session, where), where)

    @property
    def has_uncertainty(self) -> bool:
        """Whether the graph can give interval and novelty."""
        return self.contract.uncertainty is not None

    def predict(
        self,
        columns: Mapping[str, npt.ArrayLike],
        prior_log_odds: npt.ArrayLike | None = None,
        *,
        uncertainty: bool = False,
    ) -> ModelOutput[Float32Array]:
        """Run the graph on n rows.

        Parameters
        ----------
        columns
            Every input of the contract, in its order, n values each; NaN where missing.
        prior_log_odds
            Of each row's place, to be fused with the model's own, shape (n,): NaN, as None, stands for the base rate.
            Only where the contract takes a prior.
        uncertainty
            Whether to give interval and novelty too. Only where the contract has them.

        Returns
        -------
        ModelOutput
            Arrays of float32, shape (n,), without contributions.

        Raises
        ------
        FeatureError
            A column that float32 cannot hold faithfully, or a prior that does not fit.
        ScoringError
            A probability outside [0, 1].
        """
        return self._predict(assemble(self.contract.model, columns)[1], prior_log_odds, uncertainty=uncertainty)

    def predict_row(
        self,
        values: Sequence[float],
        prior_log_odds: float | None = None,
        *,
        uncertainty: bool = False,
        contributions: bool = False,
    ) -> ModelOutput[float]:
        """Run the graph once on one row: the same numbers as `predict`, in a fraction of the time.

        Parameters
        ----------
        values
            Of the inputs, in the contract's order; NaN where missing.
        prior_log_odds
            Of the row's place, to be fused with the model's own; None or NaN stands for the base rate. `fuse` does it
            where the graph cannot.
        uncertainty
            Whether to give interval and novelty too, as far as the contract has them. A prior requires them.
        contributions
            Whether to give what each feature adds, as far as the graph can.

        Raises
        ------
        ScoringError
            A probability outside [0, 1].
        """
        prior = None if prior_log_odds is None or isnan(prior_log_odds) else prior_log_odds
        assess = self.has_uncertainty and (uncertainty or prior is not None)
        explain = self._explains and contributions
        in_graph = assess and self.contract.takes_prior
        with self._lock:  # the buffers are shared, and a run lets other threads in
            self._assemble_row(values, self._row)
            self._prior[0, 0] = self._base_log_odds if prior is None else prior
            self._session.run_with_iobinding(self._bindings[assess, explain])
            probability, log_odds = self._buffers["probability"].item(), self._buffers["log_odds"].item()
            own, interval_and_novelty = log_odds, None
            if assess:
                low, high = self._buffers["interval"][0].tolist()
                interval_and_novelty = IntervalAndNovelty(low, high, self._buffers["novelty"].item())
                own = self._buffers["own_log_odds"].item()
            added = self._buffers[CONTRIBUTIONS][0].copy() if explain else None
        self._check(probability)
        if prior is not None and not in_graph:
            posterior = fuse(own, prior, base_rate=self.contract.base_rate)
            probability, log_odds = posterior.probability, posterior.log_odds
        return ModelOutput(probability, log_odds, own, interval_and_novelty, added)

    def _predict(
        self, matrix: Float32Array, prior_log_odds: npt.ArrayLike | None = None, *, uncertainty: bool = False
    ) -> ModelOutput[Float32Array]:
        feed = self._feed(matrix, prior_log_odds)
        if uncertainty:
            feed[ASSESS] = _TRUE
            probability, log_odds, interval, novelty, own = self._run((*OUTPUTS, *UNCERTAINTY), feed)
            interval_and_novelty = IntervalAndNovelty(interval[:, 0], interval[:, 1], novelty[:, 0])
            return ModelOutput(probability[:, 0], log_odds[:, 0], own[:, 0], interval_and_novelty)
        probability, log_odds = self._run(OUTPUTS, feed)
        own = log_odds if prior_log_odds is None else self._run(OUTPUTS, self._feed(matrix))[1]
        return ModelOutput(probability[:, 0], log_odds[:, 0], own[:, 0])

    def _check(self, probability: float) -> None:
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
        arrays: list[Float32Array] = self._session.run(outputs, feed)
        if not ((arrays[0] >= 0) & (arrays[0] <= 1)).all():  # NaN fails too
            raise ScoringError(f"{self.contract.model}: got a probability outside 0 to 1; the model is broken")
        return arrays

    def _test(self, golden: Golden, where: str) -> None:
        """Score the golden rows: this device must compute the numbers that stand beside them."""
        if golden.features.shape[1] != len(self.contract.features):
            raise BundleError(
                f"{where}: golden rows have {golden.features.shape[1]} features; expected {len(self.contract.features)}"
            )
        if (golden.uncertainty is None) == self.has_uncertainty:
            raise BundleError(f"{where}: golden rows and contract disagree on whether the model gives uncertainty")
        try:
            output = self._predict(golden.features, uncertainty=self.has_uncertainty)
            # the first run of each kind makes what later ones use
            for assess, explain in self._bindings:
                lows = [entry.low for entry in self.contract.inputs]
                self.predict_row(lows, uncertainty=assess, contributions=explain)
        except Exception as error:  # onnxruntime's exceptions share no base of their own
            raise BundleError(f"{where}: its graph does not run: {one_line(error)}") from None
        got = _columns(output.probability, output.log_odds, output.interval_and_novelty or ())
        uncertainty = () if golden.uncertainty is None else golden.uncertainty.T
        expected = _columns(golden.probability, golden.log_odds, uncertainty)
        scale = 1 + np.abs(expected)
        scale[:, 0] = 1  # a probability may be off by no more, whatever its size
        wrong = ~(np.abs(got - expected) <= TOLERANCE * scale).all(axis=1)
        if self.has_uncertainty:  # without a prior both are the model's own
            wrong |= ~(np.abs(output.own_log_odds - golden.log_odds) <= TOLERANCE * scale[:, 1])
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BundleError(
                f"{where}: golden row {row}: got {_shown(got[row])}; expected {_shown(expected[row])}: damaged file or "
                "unlike device"
            )

    def _bind_row(self) -> None:
        """Give the session fixed buffers for one row: a score then allocates nothing."""
        self._lock = threading.Lock()
        width = len(self.contract.features)
        matrix = np.zeros((1, width), dtype=np.float32)
        self._row = matrix[0]
        self._prior = np.full((1, 1), self._base_log_odds)
        columns = {name: matrix[:, i : i + 1] for i, name in enumerate(self.contract.features)}
        inputs: dict[str, npt.NDArray[Any]] = dict(columns) if self._named else {INPUT: matrix}
        widths = {**dict.fromkeys(OUTPUTS, 1), **UNCERTAINTY, CONTRIBUTIONS: width}
        self._buffers = {name: np.zeros((1, columns), dtype=np.float32) for name, columns in widths.items()}
        prior = {PRIOR: self._prior} if self.contract.takes_prior else {}
        self._bindings = {}
        """By whether the graph gives uncertainty, and whether it gives contributions."""
        for assess in (False, True)[: 1 + self.has_uncertainty]:
            for explain in (False, True)[: 1 + self._explains]:
                options = {**prior, ASSESS: _TRUE} if assess else {}
                options |= {EXPLAIN: _TRUE} if explain else {}
                outputs = (*OUTPUTS, *(UNCERTAINTY if assess else ()), *((CONTRIBUTIONS,) if explain else ()))
                buffers = {name: self._buffers[name] for name in outputs}
                self._bindings[assess, explain] = self._bound({**inputs, **options}, buffers)

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


def _columns(probability: Float32Array, log_odds: Float32Array, uncertainty: Iterable[Float32Array]) -> Float32Array:
    """Return probability, log-odds, both ends of the interval and novelty side by side."""
    return np.stack([probability, log_odds, *uncertainty], axis=1)


def _shown(row: Float32Array) -> str:
    names = ("probability", "log-odds", "interval from", "to", "novelty")
    return ", ".join(f"{name} {value}" for name, value in zip(names, row, strict=False))
