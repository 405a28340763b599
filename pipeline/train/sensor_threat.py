"""Rows of alarms -> the sensor model, and log-odds for each alarm from a model that never saw its group."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.model_selection import GroupKFold

from pipeline.model import calibration, intervals, novelty
from pipeline.model.fit_record import SensorFitRecord
from pipeline.model.fitted import Columns, Fit, Floats, Mask, Matrix, Model
from pipeline.model.intervals import IntervalTable
from pipeline.model.novelty import Novelty
from pipeline.params.datasets import SensorTask
from pipeline.params.stages import SensorBoosting
from pipeline.runtime.errors import StageError
from pipeline.storage.marking import Marking
from pipeline.train import boosting
from threat_scorer.scoring.features import assemble

Strings = npt.NDArray[np.str_]


HELD_OUT = pa.schema(
    [
        pa.field("detection_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("fold", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("log_odds", pa.float64(), nullable=False),
        pa.field("interval_low", pa.float64(), nullable=False),
        pa.field("interval_high", pa.float64(), nullable=False),
        pa.field("log_odds_random_split", pa.float64(), nullable=False),
    ]
)
"""And ``log_odds_without_<modality>`` for each modality that a record may lack. The interval's ends are log-odds.

Where groups mean nothing, ``log_odds_repeat_<n>`` as well.
"""

REPEATS, REPEAT_FOLDS = 10, 5
"""How often rows without groups are divided anew, and into how many folds: as is usual on small sets."""


@dataclass(frozen=True)
class GroupFit:
    """A model that groups held out have calibrated."""

    model: Model
    rounds: int
    """Number of trees."""
    interval: IntervalTable
    """Around the model's log-odds."""


@dataclass(frozen=True)
class SensorFit(Fit):
    """The model of sensor threat that is shipped, the interval around its log-odds, and its novelty."""

    settings: SensorBoosting
    groups: list[str]
    interval: IntervalTable
    novelty: Novelty

    def record(self, *, features_digest: str, marking: Marking) -> SensorFitRecord:
        """Return the record of the fit; the arguments are those of `common_fields`."""
        return SensorFitRecord(
            **self.common_fields(features_digest=features_digest, marking=marking),
            params=self.settings,
            groups=self.groups,
            interval=self.interval,
            novelty=self.novelty,
        )


def train(
    table: pa.Table,
    columns: Columns,
    settings: SensorBoosting,
    *,
    measured: Sequence[str],
    optional: Mapping[str, Sequence[str]],
    task: SensorTask | None = None,
) -> tuple[SensorFit, pa.Table]:
    """Fit the model on all rows of known outcome, and score each by a model that never saw its group.

    Parameters
    ----------
    table
        The rows that `features` wrote.
    columns, settings
        The model's features, and how it is fitted.
    measured
        The inputs, in order.
    optional
        Inputs of each modality that a record may lack.
    task
        Its `random_groups` and `rounds` count here; without it, groups are real and the rounds are chosen.

    Returns
    -------
    fit : SensorFit
    held_out : Table
        `HELD_OUT`; the fold names the groups that were held out together. Without a modality is how the same model
        scores the row with its inputs missing. The random split is by models that saw other rows of the row's group,
        as no model in the field has: it is there to show how much that flatters.
    """
    known = table.filter(table["label"].is_valid())
    matrix, outcome = columns.of(known), known["label"].to_numpy() == 1
    groups = known["group_id"].to_numpy(zero_copy_only=False).astype(np.str_)
    random_groups, rounds = (task.random_groups, task.rounds) if task else (None, None)
    final = fit(matrix, outcome, groups, columns, settings, rounds=rounds)
    usual = novelty.fit(
        np.column_stack([known[name].to_numpy().astype(np.float64) for name in measured]),
        measured,
        groups,
        optional=list(optional.values()),
        false_flags=settings.false_flags,
        folds=settings.tuning_folds,
    )
    as_seen = {
        "log_odds": matrix,
        **{f"log_odds_without_{modality}": _without(inputs, known, measured) for modality, inputs in optional.items()},
    }
    fold, log_odds = held_out(matrix, outcome, groups, columns, settings, as_seen=as_seen, rounds=rounds)
    _, at_random = held_out(
        matrix,
        outcome,
        _at_random(outcome, settings.folds, settings.seed),
        columns,
        settings,
        as_seen={"log_odds_random_split": matrix},
        rounds=rounds,
    )
    repeats = {
        f"log_odds_repeat_{n}": _repeat(matrix, outcome, columns, settings, groups=random_groups, seed=n, rounds=rounds)
        for n in range(REPEATS if random_groups else 0)
    }
    scored = {**at_random, **repeats, "fold": fold, **log_odds}
    rows = {name: known[name] for name in ("detection_id", "group_id", "label")}
    schema = HELD_OUT
    for name in (*(f"log_odds_without_{modality}" for modality in optional), *repeats):
        schema = schema.append(pa.field(name, pa.float64(), nullable=False))
    scored = {name: scored[name] for name in schema.names if name not in rows}
    result = SensorFit(
        model=final.model,
        best_iteration=final.rounds,
        rows=len(outcome),
        positives=int(outcome.sum()),
        settings=settings,
        groups=sorted(set(groups.tolist())),
        interval=final.interval,
        novelty=usual,
    )
    return result, pa.table({**rows, **scored}, schema=schema)


def fit(
    matrix: Matrix,
    outcome: Mask,
    groups: Strings,
    columns: Columns,
    settings: SensorBoosting,
    *,
    rounds: int | None = None,
) -> GroupFit:
    """Fit the sensor model on all rows.

    Each of a few folds of whole groups chooses a number of trees for a model of the other folds. The final model has
    the median of these numbers. With so many trees, the models of the folds predict the groups that they had not seen.
    Calibration and interval are fitted to those predictions.

    Parameters
    ----------
    matrix
        Features, shape (n, f), NaN where missing.
    outcome
        Whether there was a hazard, shape (n,).
    groups
        Soil, lane or site of each row, shape (n,).
    columns, settings
        The model's features, and how it is fitted.
    rounds
        Number of trees; None to choose it.

    Raises
    ------
    StageError
        There are fewer than two groups, or rows of one class only once a fold is held out.
    """
    folds = list(_folds(outcome, groups, settings.tuning_folds))
    if rounds is None:
        fitted, best = zip(
            *(
                boosting.fit_until_best((matrix[seen], outcome[seen]), (matrix[out], outcome[out]), columns, settings)
                for seen, out in folds
            ),
            strict=True,
        )
        rounds = int(np.median(best))
    else:
        fitted = tuple(boosting.fit(matrix[seen], outcome[seen], columns, settings, rounds=rounds) for seen, _ in folds)
    unseen = np.empty(len(outcome))
    for model, (_, out) in zip(fitted, folds, strict=True):
        unseen[out] = model.log_odds(matrix[out], rounds=rounds)
    final = boosting.fit(matrix, outcome, columns, settings, rounds=rounds)
    model = dataclasses.replace(final, calibration=calibration.fit(unseen, outcome))
    calibrated = model.calibration.of(unseen)
    return GroupFit(model, rounds, intervals.fit(calibrated, outcome, groups, level=settings.interval_level))


def held_out(
    matrix: Matrix,
    outcome: Mask,
    groups: Strings,
    columns: Columns,
    settings: SensorBoosting,
    *,
    as_seen: Mapping[str, Matrix],
    rounds: int | None = None,
) -> tuple[list[str], dict[str, Floats]]:
    """Score each row by a model for which `fit` never saw the row's group, not even to choose or to calibrate.

    Parameters
    ----------
    matrix
        Features that the models learn from, shape (n, f).
    outcome, groups, columns, settings, rounds
        As of `fit`.
    as_seen
        By name, the features of the same rows as they are scored: `matrix` itself, or with something missing.

    Returns
    -------
    fold : list of str, length n
        The groups that were held out together with the row's.
    log_odds : dict of ndarray of float64, shape (n,)
        By the name in `as_seen`; and ``interval_low`` and ``interval_high`` around those of `matrix`.
    """
    fold = np.empty(len(outcome), dtype=np.object_)
    log_odds = {name: np.empty(len(outcome)) for name in (*as_seen, "interval_low", "interval_high")}
    for seen, out in _folds(outcome, groups, settings.folds):
        fitted = fit(matrix[seen], outcome[seen], groups[seen], columns, settings, rounds=rounds)
        fold[out] = "+".join(np.unique(groups[out]))
        for name, rows in as_seen.items():
            log_odds[name][out] = fitted.model.log_odds(rows[out])
        low, high = fitted.interval.of(fitted.model.log_odds(matrix[out]))
        log_odds["interval_low"][out], log_odds["interval_high"][out] = low, high
    return fold.tolist(), log_odds


def _without(missing: Sequence[str], rows: pa.Table, measured: Sequence[str]) -> Matrix:
    """Return the features of rows in which some inputs are missing."""
    nothing = np.full(rows.num_rows, np.nan)
    return assemble(
        "sensor_threat", {name: nothing if name in missing else rows[name].to_numpy() for name in measured}
    )[1]


def _repeat(
    matrix: Matrix,
    outcome: Mask,
    columns: Columns,
    settings: SensorBoosting,
    *,
    groups: int | None,
    seed: int,
    rounds: int | None,
) -> Floats:
    """Return the log-odds of each row, shape (n,), where the rows are divided at random into `REPEAT_FOLDS`."""
    divided = _at_random(outcome, groups or REPEAT_FOLDS, seed)
    settings = dataclasses.replace(settings, folds=REPEAT_FOLDS)
    _, scored = held_out(matrix, outcome, divided, columns, settings, as_seen={"log_odds": matrix}, rounds=rounds)
    return scored["log_odds"]


def _at_random(outcome: Mask, count: int, seed: int) -> Strings:
    """Return groups that mean nothing, of equal size and each with its part of the hazards."""
    places = np.lexsort((np.random.default_rng(seed).random(len(outcome)), outcome))
    groups = np.empty(len(outcome), dtype=np.int64)
    groups[places] = np.arange(len(outcome)) % count
    return groups.astype(np.str_)


def _folds(outcome: Mask, groups: Strings, most: int) -> Iterator[tuple[Mask, Mask]]:
    """Yield which rows are seen and which held out, each group held out once, in one order whatever the rows' order."""
    names, number = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise StageError(f"train: the rows are of the groups {names.tolist()}; expected at least two, to hold one out")
    splitter = GroupKFold(n_splits=min(most, len(names)))
    for seen, out in splitter.split(groups, groups=number):
        if outcome[seen].all() or not outcome[seen].any():
            raise StageError(
                f"train: without the groups {np.unique(groups[out]).tolist()} all rows have one outcome; expected "
                "hazard and clutter in more groups"
            )
        yield seen, out
