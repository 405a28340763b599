"""Held-out log-odds of alarms -> metrics against baselines that were held out of the same groups."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from pipeline.evaluate import fusion, oracle, sensor_baselines, uncertainty
from pipeline.evaluate.comparison import compare
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.folds import by_fold
from pipeline.evaluate.grouped import group_skill
from pipeline.evaluate.plots import curve_points
from pipeline.model.fit_record import SensorFitRecord
from pipeline.model.skill_records import (
    ORACLE,
    SHIPPED,
    Comparison,
    Metrics,
    NoveltySkill,
    RandomSplit,
    RepeatedSplit,
    Skill,
)
from pipeline.params.datasets import Measured
from pipeline.params.stages import Evaluate
from pipeline.runtime import workers
from pipeline.runtime.errors import StageError
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import Floats, Mask, UndefinedMetricError, threshold_of_detection

Names = npt.NDArray[Any]

DETECTION_POLICIES = {"pd_90": 0.90, "pd_95": 0.95}
"""Operating points: the share of the hazards that raise an alarm."""

_LOG_ODDS, _WITHOUT, _REPEAT, _RANDOM = "log_odds", "log_odds_without_", "log_odds_repeat_", "log_odds_random_split"
"""Columns of the held-out predictions, or what their names begin with."""


def evaluate(
    table: pa.Table,
    held_out: pa.Table,
    fit: SensorFitRecord,
    settings: Evaluate,
    *,
    measured: Mapping[str, Measured],
    optional: Sequence[Sequence[str]],
    group_area_m2: float | None,
    name: str,
    truth: pa.Table | None,
) -> Evaluation:
    """Measure the sensor model on groups that it had not seen.

    Parameters
    ----------
    table
        What `features` wrote, sorted by detection.
    held_out
        What `train` wrote.
    fit
        The record of the fit: its ``interval``, ``novelty`` and ``params``.
    settings
        How skill is measured.
    measured
        The inputs, in order, which the baselines read.
    optional
        Inputs of each modality that an alarm may lack.
    group_area_m2
        See `group_skill`.
    name
        Of the comparison: the modalities.
    truth
        See `oracle.of_alarms`; None where it is not known.

    Raises
    ------
    StageError
        The held-out rows are not those of known outcome; a metric is not defined.
    """
    rows = table.filter(table["label"].is_valid())
    _refuse_other_rows(held_out, rows)
    outcome = rows["label"].to_numpy() == 1
    fold, group = (np.asarray(held_out[key].to_pylist()) for key in ("fold", "group_id"))
    draws = BlockDraws.of(group, samples=settings.bootstrap_samples, seed=settings.seed)
    inputs = np.column_stack([rows[column].to_numpy().astype(np.float64) for column in measured])
    probability = {
        SHIPPED: _probability(held_out, _LOG_ODDS),
        **sensor_baselines.probabilities(inputs, outcome, fold, group, seed=settings.seed),
    }
    if truth is not None:
        probability[ORACLE] = oracle.of_alarms(rows, truth)
    without = [column for column in held_out.column_names if column.startswith(_WITHOUT)]
    log_odds = held_out[_LOG_ODDS].to_numpy()

    skill_of = partial(_skill, outcome=outcome, group=group, draws=draws, settings=settings, area_m2=group_area_m2)
    columns = [*probability.values(), *(_probability(held_out, column) for column in (*without, _RANDOM))]
    skills = list(workers.map_in_order(skill_of, columns))
    models = dict(zip(probability, skills, strict=False))
    random_split = "models saw other alarms of the same group, as none in the field has"
    comparison = Comparison(
        **vars(compare(outcome, probability, models, draws)),
        folds=by_fold(outcome, probability, fold, group, settings, rounds={}),
        groups=draws.blocks,
        without={c.removeprefix(_WITHOUT): s for c, s in zip(without, skills[len(models) : -1], strict=True)},
        random_split=RandomSplit(flattering=random_split, skill={SHIPPED: skills[-1]}),
        repeated=_repeated(held_out, outcome),
        intervals=uncertainty.intervals(
            held_out["interval_low"].to_numpy(),
            held_out["interval_high"].to_numpy(),
            outcome,
            log_odds,
            draws,
            bins=settings.calibration_bins,
            level=fit.interval.level,
            truth=None if truth is None else np.asarray(logit(probability[ORACLE])),
        ),
        novelty=_novelty(inputs, measured, fold, group, draws, fit, optional=optional, seed=settings.seed),
        fusion=None
        if truth is None
        else fusion.evaluate(rows, truth, log_odds, outcome, draws, settings, group_area_m2=group_area_m2),
    )
    shown = curve_points.chosen(comparison, probability)
    return Evaluation(
        metrics=Metrics(comparisons={name: comparison}, operating_points=_operating_points(outcome, probability)),
        plots=curve_points.of_alarms(
            outcome, shown, group, bins=settings.calibration_bins, group_area_m2=group_area_m2
        ),
        measured_on=f"{len(outcome):,} alarms, {int(outcome.sum()):,} of them hazards, in groups not seen",
    )


def roc_auc_by_group(outcome: Mask, probability: Floats, group: Names) -> dict[str, float]:
    """Return the ROC-AUC within each group that has both outcomes.

    Parameters
    ----------
    outcome, probability, group
        Of each alarm, shape (n,).

    Raises
    ------
    UndefinedMetricError
        No group has both.
    """
    area = {}
    for name in np.unique(group):
        mask = group == name
        if 0 < outcome[mask].sum() < mask.sum():
            area[str(name)] = float(roc_auc_score(outcome[mask], probability[mask]))
    if not area:
        raise UndefinedMetricError("metrics: no group has both hazards and clutter; expected at least one")
    return area


def _refuse_other_rows(held_out: pa.Table, rows: pa.Table) -> None:
    if not rows["detection_id"].equals(held_out["detection_id"]):
        raise StageError(
            f"evaluate: {held_out.num_rows} held-out predictions do not match the {rows.num_rows} detections of known "
            "outcome; expected the same detections: run `python -m pipeline.train` again"
        )


def _skill(
    values: Floats, *, outcome: Mask, group: Names, draws: BlockDraws, settings: Evaluate, area_m2: float | None
) -> Skill:
    worst = min(roc_auc_by_group(outcome, values, group).values())
    return group_skill(outcome, values, draws, settings, group_area_m2=area_m2, worst_group=worst)


def _repeated(held_out: pa.Table, outcome: Mask) -> RepeatedSplit | None:
    repeats = [column for column in held_out.column_names if column.startswith(_REPEAT)]
    if not repeats:
        return None
    accuracies = [float(((held_out[column].to_numpy() > 0) == outcome).mean()) for column in repeats]
    return RepeatedSplit(
        flattering="rows were parted at random, as nobody knows which hang together",
        repeats=len(accuracies),
        accuracy=float(np.mean(accuracies)),
        spread=float(np.std(accuracies)),
    )


def _novelty(
    inputs: Floats,
    measured: Mapping[str, Measured],
    fold: Names,
    group: Names,
    draws: BlockDraws,
    fit: SensorFitRecord,
    *,
    optional: Sequence[Sequence[str]],
    seed: int,
) -> NoveltySkill:
    return uncertainty.novelties(
        inputs,
        measured,
        fold,
        group,
        draws,
        optional=optional,
        false_flags=fit.novelty.false_flags,
        folds=fit.params.tuning_folds,
        seed=seed,
    )


def _operating_points(outcome: Mask, probability: Mapping[str, Floats]) -> dict[str, float]:
    return {
        policy: threshold_of_detection(outcome, probability[SHIPPED], share=share)
        for policy, share in DETECTION_POLICIES.items()
    }


def _probability(held_out: pa.Table, column: str) -> Floats:
    return np.asarray(expit(held_out[column].to_numpy()))
