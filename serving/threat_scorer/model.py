"""One ONNX file -> its contract and a session that turns inputs into probabilities, one row or many."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from threat_scorer import contract as contracts
from threat_scorer import golden as goldens
from threat_scorer.bundle import BundleError
from threat_scorer.contract import Contract, ContractError
from threat_scorer.features import FeatureError, Float32Array, RowAssembler, assemble
from threat_scorer.golden import Golden, GoldenError
from threat_scorer.records import RecordReader

INPUT = "features"
OUTPUTS = ("probability", "log_odds")
EXPLAIN, CONTRIBUTIONS = "explain", "contributions"
"""Asks for reasons, and the output that has no rows unless asked for; a model may be without."""

TOLERANCE = 1e-5
"""How far a golden row may be off: releases of onnxruntime and processors differ in the last digits of float32 sums and
exponentials, a wrong leaf shows far above."""


class ScoringError(RuntimeError):
    """The graph gave something that is no probability: the model or the device is broken."""


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
        self._session = _open_session(onnx, where)
        self.contract = _read_contract(self._session, where)
        self.reader = RecordReader(self.contract.inputs)
        self._inputs = tuple(entry.name for entry in self.contract.inputs)
        self._assemble_row = _check_features(self.contract, self._inputs, where)
        _check_graph(self._session, len(self.contract.features), where)
        self._explains = CONTRIBUTIONS in {node.name for node in self._session.get_outputs()}
        self._bind_row()
        self._test(_read_golden(self._session, where), where)

    def score(self, columns: Mapping[str, npt.ArrayLike]) -> tuple[Float32Array, Float32Array]:
        """Score n rows.

        Parameters
        ----------
        columns
            Every input of the contract, in its order, n values each; NaN where missing.

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
        return self._run(assemble(self.contract.model, columns)[1])

    def score_row(self, values: list[float]) -> tuple[float, float]:
        """Return probability and log-odds of one row; the same numbers as `score`, in a fraction of the time."""
        with self._lock:  # the buffers are shared, and a run lets other threads in
            self._assemble_row(values, self._row)
            self._session.run_with_iobinding(self._binding)
            probability, log_odds = self._outputs[0].item(), self._outputs[1].item()
        if not 0 <= probability <= 1:
            raise ScoringError(f"{self.contract.model}: got probability {probability}; the model is broken")
        return probability, log_odds

    def contributions_row(self, values: list[float]) -> Float32Array | None:
        """Return the log-odds that each feature adds to those of a typical row, (features,); None where it cannot."""
        if not self._explains:
            return None
        with self._lock:
            self._assemble_row(values, self._row)
            matrix = self._row[None].copy()
        (added,) = self._session.run([CONTRIBUTIONS], {INPUT: matrix, EXPLAIN: np.array(True)})
        row: Float32Array = added[0]
        return row

    def _run(self, matrix: Float32Array) -> tuple[Float32Array, Float32Array]:
        probability, log_odds = self._session.run(OUTPUTS, {INPUT: matrix})
        if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails too
            raise ScoringError(f"{self.contract.model}: got a probability outside 0 to 1; the model is broken")
        return probability[:, 0], log_odds[:, 0]

    def _test(self, golden: Golden, where: str) -> None:
        """Score the golden rows: this device must come to what the maker of the model came to."""
        if golden.features.shape[1] != len(self.contract.features):
            raise BundleError(
                f"{where}: golden rows have {golden.features.shape[1]} features; expected {len(self.contract.features)}"
            )
        try:
            probability, log_odds = self._run(golden.features)
            self.score_row([entry.low for entry in self.contract.inputs])  # the first run makes what later ones use
        except Exception as error:  # see `_open_session`
            raise BundleError(f"{where}: its graph does not run: {_one_line(error)}") from None
        wrong = ~(np.abs(probability - golden.probability) <= TOLERANCE) | ~(
            np.abs(log_odds - golden.log_odds) <= TOLERANCE * (1 + np.abs(golden.log_odds))
        )
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BundleError(
                f"{where}: golden row {row}: got probability {probability[row]}, log-odds {log_odds[row]}; expected "
                f"{golden.probability[row]}, {golden.log_odds[row]}: damaged file or unlike device"
            )

    def _bind_row(self) -> None:
        """Give the session fixed buffers for one row, so that a score allocates nothing."""
        self._lock = threading.Lock()
        matrix = np.zeros((1, len(self.contract.features)), dtype=np.float32)
        self._row = matrix[0]
        self._outputs = [np.zeros((1, 1), dtype=np.float32) for _ in OUTPUTS]
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(INPUT, ort.OrtValue.ortvalue_from_numpy(matrix))
        for name, buffer in zip(OUTPUTS, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(buffer))


def _open_session(onnx: bytes, where: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # 2 MiB that one row has no use for; a score takes as long without
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4  # faults come as exceptions; nothing is written to the user's stderr
    try:
        # with the fallback on, onnxruntime prints its failures on stdout, where our answers go
        return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise BundleError(f"{where}: onnxruntime {ort.__version__} cannot load it: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _read_contract(session: Any, where: str) -> Contract:
    try:
        return Contract.from_json(_metadata(session, contracts.KEY, where))
    except ContractError as error:
        raise BundleError(f"{where}: {error}") from None


def _read_golden(session: Any, where: str) -> Golden:
    try:
        return Golden.from_json(_metadata(session, goldens.KEY, where))
    except GoldenError as error:
        raise BundleError(f"{where}: {error}") from None


def _metadata(session: Any, key: str, where: str) -> str:
    try:
        text: str | None = session.get_modelmeta().custom_metadata_map.get(key)
    except UnicodeDecodeError as error:
        raise BundleError(f"{where}: its metadata is not UTF-8 at byte {error.start}") from None
    if text is None:
        raise BundleError(f"{where}: no {key} in its metadata; expected a file made by `pipeline.export`")
    return text


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


def _check_graph(session: Any, width: int, where: str) -> None:
    got = [(node.name, node.type, node.shape[1:]) for node in session.get_inputs()]
    if got != [(INPUT, "tensor(float)", [width])]:
        raise BundleError(f"{where}: inputs: got {got}; expected {INPUT}, tensor(float), shape (n, {width})")
    outputs = {node.name: (node.type, node.shape[1:]) for node in session.get_outputs()}
    for name in OUTPUTS:
        if outputs.get(name) != ("tensor(float)", [1]):
            raise BundleError(
                f"{where}: output {name}: got {outputs.get(name, 'none')}; expected tensor(float), shape (n, 1)"
            )
