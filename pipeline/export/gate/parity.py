"""An exported model, its booster and rows -> how closely they agree; the first difference ends the export.

A model passes when every row ends in the same leaf of every tree. No decision at an operating point may change.
Probabilities, with a prior and without, ends of intervals and novelty differ by at most the variant's tolerance.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto
from scipy.special import expit

from pipeline.export.explanations import expected_log_odds
from pipeline.export.gate.divergence import first_divergence
from pipeline.export.gate.leaf_index_graph import leaf_index_graph
from pipeline.export.gate.outputs import ParityError, as_read, assert_close, check_outputs
from pipeline.export.gate.reference import Reference
from pipeline.export.gate.rows import Rows
from pipeline.export.graph import TREES
from pipeline.model.parity_report import ComparedRows
from pipeline.runtime import workers

_PART = 16384  # rows of one worker's turn, and of one message
_BATCH = 1024  # rows compared at once: they and their leaves stay in the caches; a multiple of 4, as BLAS takes them
_ROWS_WITH_ALL_OUTPUTS = 65536  # of each kind: what stands after the trees is the same for all, and slower than they
_EXPLAINED_AT_ONCE = 256  # each takes (trees, features) in memory
_EXPLANATIONS_TOLERANCE = 1e-6
_ROOM = 1e-5  # how far an operating point may be moved to stand clear of every score


@dataclass(frozen=True)
class Parity:
    """A passed gate."""

    operating_points: dict[str, float]
    """By name; moved by at most 1e-5 where a score was so close that the last bit decided."""
    rows: dict[str, ComparedRows]
    """By kind of rows."""


def check(
    model: ModelProto,
    reference: Reference,
    rows: Mapping[str, Iterable[Rows]],
    *,
    operating_points: Mapping[str, float],
    tolerance: float,
    compared: Callable[[int], None] = lambda rows: None,
) -> Parity:
    """Compare an exported model with its reference.

    Parameters
    ----------
    model
        The file that is to ship.
    reference
        The booster and its formula.
    rows
        By kind: parts of (rows, features), float32.
    operating_points
        Probability at and above which a policy calls an alarm, by name.
    tolerance
        Largest difference of a probability.
    compared
        Called with the number of rows of each part that has passed, in this thread.

    Raises
    ------
    ParityError
        The first row that ends in another leaf, whose probability differs by more than `tolerance`, or whose
        decision changes.
    """
    sessions = session(model), session(leaf_index_graph(model, reference.forest))

    def compare(part: _Part) -> _Compared:
        return _compare(sessions, reference, part, tolerance)

    # each part by one thread, as in the field: as many parts at a time as there are workers
    passed: dict[str, list[_Compared]] = {kind: [] for kind in rows}
    for kind, matrices in rows.items():
        for result in workers.map_in_order(compare, _parts(kind, matrices)):
            passed[kind].append(result)
            compared(len(result.got))
    everything = [part for parts in passed.values() for part in parts]
    expected, got = (np.concatenate([getattr(part, side) for part in everything]) for side in ("expected", "got"))
    return Parity(
        operating_points={name: _settled(name, at, expected, got) for name, at in operating_points.items()},
        rows={kind: _summary(parts, reference.forest.n_trees) for kind, parts in passed.items()},
    )


def check_explanations(model: ModelProto, reference: Reference, rows: Rows, *, typical: NDArray[np.float64]) -> float:
    """Compare the sum of each row's contributions with its log-odds less those of a typical row.

    Parameters
    ----------
    model
        The file that is to ship, with explanations.
    reference
        The booster and its formula.
    rows
        (rows, features), float32.
    typical
        (features,) the row that `model` was built with.

    Returns
    -------
    The largest difference, as a share of the row's contributions in size (at least 1).

    Raises
    ------
    ParityError
        It is over 1e-6; the message names the row.
    """
    expected = reference.formula.own_log_odds(np.array([expected_log_odds(reference.forest)]), typical[None])
    explained = session(model)
    largest = 0.0
    for start in range(0, len(rows), _EXPLAINED_AT_ONCE):
        chunk = rows[start : start + _EXPLAINED_AT_ONCE]
        inputs = {**as_read(explained, chunk), "explain": np.array(True)}
        contributions = explained.run(["contributions"], inputs)[0].astype(np.float64)
        log_odds = reference.own_log_odds(chunk)
        size = np.maximum(np.abs(contributions).sum(axis=1), 1)
        difference = np.abs(contributions.sum(axis=1) + expected - log_odds) / size
        if not (difference <= _EXPLANATIONS_TOLERANCE).all():
            row = int(np.argmax(~(difference <= _EXPLANATIONS_TOLERANCE)))
            raise ParityError(
                f"row {start + row}: contributions add up to {contributions[row].sum():.9g}; "
                f"expected {float(log_odds[row] - expected[0]):.9g}"
            )
        largest = max(largest, float(difference.max(initial=0)))
    return largest


def session(model: ModelProto) -> ort.InferenceSession:
    """Return a session as the field runs it: one thread, quiet."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: ort.InferenceSession, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (rows,) probability and (rows,) log-odds, as double, from a model of any variant."""
    probability, log_odds = model.run(["probability", "log_odds"], as_read(model, rows))
    return probability[:, 0].astype(np.float64), log_odds[:, 0].astype(np.float64)


@dataclass(frozen=True)
class _Part:
    """A part of the rows of one kind."""

    where: str
    """Opens a message: ``random row``."""
    start: int
    """Number of the first."""
    rows: Rows

    def batches(self) -> Iterator[slice]:
        """Yield where each batch lies in the part."""
        for start in range(0, len(self.rows), _BATCH):
            yield slice(start, start + _BATCH)


def _parts(kind: str, matrices: Iterable[Rows]) -> Iterator[_Part]:
    """Yield the rows of one kind, a limited number at a time."""
    number = 0
    for matrix in matrices:
        for start in range(0, len(matrix), _PART):
            rows = np.ascontiguousarray(matrix[start : start + _PART])
            yield _Part(f"{kind} row", number, rows)
            number += len(rows)


@dataclass(frozen=True)
class _Compared:
    """Probabilities of the rows of one part, and the largest difference of the log-odds."""

    expected: NDArray[np.float64]
    got: NDArray[np.float64]
    log_odds_difference: float


def _compare(
    sessions: tuple[ort.InferenceSession, ort.InferenceSession], reference: Reference, part: _Part, tolerance: float
) -> _Compared:
    model, leaf_indices = sessions
    own = _compare_leaves(leaf_indices, reference, part)
    log_odds = reference.formula.log_odds(own)
    probability = np.asarray(expit(log_odds))
    exported, exported_log_odds = (
        np.concatenate(column)
        for column in zip(*(run(model, part.rows[batch]) for batch in part.batches()), strict=True)
    )
    assert_close(exported, probability, tolerance, what="probability", where=part.where, start=part.start)
    if part.start < _ROWS_WITH_ALL_OUTPUTS:
        check_outputs(model, reference, part.rows, own, tolerance=tolerance, where=part.where, start=part.start)
    relative = np.abs(exported_log_odds - log_odds) / np.maximum(np.abs(log_odds), 1)
    return _Compared(probability, exported, float(relative.max(initial=0)))


def _summary(parts: list[_Compared], n_trees: int) -> ComparedRows:
    rows = sum(len(part.got) for part in parts)
    differences = [float(np.abs(part.got - part.expected).max(initial=0)) for part in parts]
    return ComparedRows(
        rows=rows,
        leaves=rows * n_trees,
        wrong_leaves=0,
        probability_difference=max(differences, default=0.0),
        log_odds_difference=max((part.log_odds_difference for part in parts), default=0.0),
    )


def _compare_leaves(leaf_indices: ort.InferenceSession, reference: Reference, part: _Part) -> NDArray[np.float64]:
    """Compare every leaf of a part's rows; return (rows,) the model's own log-odds in double."""
    raw, own = np.empty((2, len(part.rows)))
    for batch in part.batches():
        rows = part.rows[batch]
        expected = reference.leaves(rows)
        if (leaf_indices.run([TREES], as_read(leaf_indices, rows))[0] != expected).any():
            raise _divergence(leaf_indices, reference, part)
        raw[batch] = reference.raw_score_of_leaves(expected)
        own[batch] = reference.own_log_odds(rows, raw[batch])
    if part.start == 0:
        _compare_raw_score(raw, reference.raw_score(part.rows), part.where)
    return own


def _compare_raw_score(of_leaves: NDArray[np.float64], lightgbm: NDArray[np.float64], where: str) -> None:
    """Make sure that the leaves' values add up to what LightGBM gives: once for each kind of rows."""
    if (differs := of_leaves != lightgbm).any():
        row = int(np.argmax(differs))
        raise ParityError(
            f"{where} {row}: LightGBM's leaves add up to {float(of_leaves[row])!r}; expected its raw score, "
            f"{float(lightgbm[row])!r}"
        )


def _divergence(leaf_indices: ort.InferenceSession, reference: Reference, part: _Part) -> ParityError:
    """Return the error that names the first row and tree of a part whose leaves differ, and counts them all."""
    expected = reference.leaves(part.rows)
    got = leaf_indices.run([TREES], as_read(leaf_indices, part.rows))[0]
    differs = got != expected
    row, tree = (int(index) for index in np.argwhere(differs)[0])
    place = first_divergence(
        reference.forest, part.rows[row], tree=tree, lightgbm=int(expected[row, tree]), onnx=int(got[row, tree])
    )
    return ParityError(
        f"{part.where} {part.start + row}, {place} ({int(differs.sum())} of {differs.size} leaves differ in this part)"
    )


def _settled(name: str, requested: float, expected: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """Return the operating point, moved into the widest gap between scores nearby if a decision would change."""

    def flips(point: float) -> NDArray[np.bool_]:
        changed: NDArray[np.bool_] = (expected >= point) != (got >= point)
        return changed

    if not flips(requested).any():
        return float(requested)
    near = np.unique(np.concatenate([expected, got, [requested - _ROOM, requested + _ROOM]]))
    near = near[np.abs(near - requested) <= _ROOM * (1 + 1e-9)]
    widest = int(np.argmax(np.diff(near)))
    point = float((near[widest] + near[widest + 1]) / 2)
    if (flipped := flips(point)).any():
        row = int(np.argmax(flipped))
        raise ParityError(
            f"operating point {name} = {requested}: scores lie so close that decisions change wherever it stands "
            f"within {_ROOM} (row {row} of all: {got[row]!r} from ONNX, {expected[row]!r} from LightGBM)"
        )
    return point
