"""Bytes of an ONNX file -> a session, its contract and its golden rows, or a `BundleError`."""

from typing import Any

import onnxruntime as ort

from threat_scorer.errors import BundleError
from threat_scorer.scoring import contract as contracts
from threat_scorer.scoring import golden as goldens
from threat_scorer.scoring.contract import Contract, ContractError
from threat_scorer.scoring.golden import Golden, GoldenError

INPUT = "features"
OUTPUTS = ("probability", "log_odds")
PRIOR, ASSESS = "prior_log_odds", "assess"
"""Inputs that may be left out."""
UNCERTAINTY = {"interval": 2, "novelty": 1, "own_log_odds": 1}
"""Outputs that have no rows unless `ASSESS` is true, and their columns."""
EXPLAIN, CONTRIBUTIONS = "explain", "contributions"
"""An input and its output, which has no rows unless the input is true; a model may be without both."""


def open_session(onnx: bytes, where: str) -> Any:
    """Return a session for small computers: one thread that sleeps when it has nothing to do.

    Raises
    ------
    BundleError
        onnxruntime cannot load the file.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # 2 MiB that one row has no use for; a score takes as long without
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4  # faults come as exceptions; nothing is written to the user's stderr
    try:
        # with the fallback on, onnxruntime prints its failures on stdout, among our scores
        return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise BundleError(f"{where}: onnxruntime {ort.__version__} cannot load it: {one_line(error)}") from None


def read_contract(session: Any, where: str) -> Contract:
    """Return the contract in the file's metadata; raise `BundleError` where it has none that this scorer reads."""
    try:
        return Contract.from_json(_metadata(session, contracts.KEY, where))
    except ContractError as error:
        raise BundleError(f"{where}: {error}") from None


def read_golden(session: Any, where: str) -> Golden:
    """Return the golden rows in the file's metadata; raise `BundleError` where they cannot be read."""
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


def check_graph(session: Any, contract: Contract, where: str) -> bool:
    """Check a graph's inputs and outputs against its contract; return whether each feature is an input of its own.

    Parameters
    ----------
    session
        As `open_session` returned it.
    contract
        From the same file.
    where
        Names the file in messages.

    Raises
    ------
    BundleError
        An input or output is missing, or has another type or shape.
    """
    width = len(contract.features)
    matrix = [(INPUT, "tensor(float)", [width])]
    named = [(name, "tensor(float)", [1]) for name in contract.features]
    got = [(node.name, node.type, node.shape[1:]) for node in session.get_inputs()]
    if got not in (matrix, named):
        raise BundleError(
            f"{where}: inputs: got {got}; expected {INPUT}, tensor(float), shape (n, {width}), or each feature (n, 1)"
        )
    outputs = {node.name: (node.type, node.shape[1:]) for node in session.get_outputs()}
    expected = {**dict.fromkeys(OUTPUTS, 1), **(UNCERTAINTY if contract.uncertainty else {})}
    for name, columns in expected.items():
        if outputs.get(name) != ("tensor(float)", [columns]):
            raise BundleError(
                f"{where}: output {name}: got {outputs.get(name, 'none')}; expected tensor(float), shape (n, {columns})"
            )
    optional = {node.name for node in session.get_overridable_initializers()}
    required = {name for name, needed in ((ASSESS, contract.uncertainty), (PRIOR, contract.takes_prior)) if needed}
    if missing := sorted(required - optional):
        raise BundleError(f"{where}: optional input {missing[0]}: got none; expected it by the contract")
    return got == named


def one_line(error: Exception) -> str:
    """Return an error's text on one line, cut to the length of a message."""
    return " ".join(str(error).split())[:200]
