"""Held-out log-odds of alarms -> metrics against baselines that were held out of the same groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from pipeline.evaluate import fusion, oracle, sensor_baselines, uncertainty
from pipeline.evaluate.comparison import ORACLE, SHIPPED, compare
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.grouped import group_skill
from pipeline.evaluate.plots import curve_points
from pipeline.params import Evaluate, Measured
from pipeline.runtime.errors import StageError
from pipeline.validation.metrics import Floats, Mask, UndefinedMetricError, threshold_of_detection

Names = npt.NDArray[Any]

DETECTION_POLICIES = {"pd_90": 0.90, "pd_95": 0.95}
"""Operating points: the share of the hazards that raise an alarm."""


def evaluate(
    table: pa.Table,
    held_out: pa.Table,
    fit: Mapping[str, Any],
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
    measured
        The inputs, in order, which the baselines read.
    optional
        Inputs of each modality that an alarm may lack.
    group_area_m2
        See `group_skill`.
    name
        Of the part of the metrics: the modalities.
    truth
        See `oracle.of_alarms`; None where it is not known.

    Raises
    ------
    StageError
        The held-out rows are not those of known outcome; a metric is not defined.
    """
    rows = table.filter(table["label"].is_valid())
    if not rows["detection_id"].equals(held_out["detection_id"]):
        raise StageError(
            f"evaluate: {held_out.num_rows} held-out predictions do not match the {rows.num_rows} detections of known "
            "outcome; expected the same detections: run `python -m pipeline.train` again"
        )
    outcome = rows["label"].to_numpy() == 1
    fold, group = (np.asarray(held_out[key].to_pylist()) for key in ("fold", "group_id"))
    inputs = np.column_stack([rows[column].to_numpy().astype(np.float64) for column in measured])
    probability = {
        SHIPPED: _probability(held_out, "log_odds"),
        **sensor_baselines.probabilities(inputs, outcome, fold, group, seed=settings.seed),
    }
    if truth is not None:
        probability[ORACLE] = oracle.of_alarms(rows, truth)

    def skill(values: Floats) -> dict[str, Any]:
        found = group_skill(outcome, values, group, settings, group_area_m2=group_area_m2)
        return _with_worst_group(found, outcome, values, group)

    measured_skill = {model: skill(values) for model, values in probability.items()}
    found = compare(outcome, probability, measured_skill, group, settings)
    found["groups"] = len(np.unique(group))
    found["without"] = {
        column.removeprefix(_WITHOUT): skill(_probability(held_out, column))
        for column in held_out.column_names
        if column.startswith(_WITHOUT)
    }
    found["random_split"] = {
        "flattering": "models saw other alarms of the same group, as none in the field has",
        "skill": {SHIPPED: skill(_probability(held_out, "log_odds_random_split"))},
    }
    log_odds = held_out["log_odds"].to_numpy()
    found["intervals"] = uncertainty.intervals(
        held_out["interval_low"].to_numpy(),
        held_out["interval_high"].to_numpy(),
        outcome,
        log_odds,
        group,
        settings,
        level=fit["interval"]["level"],
        truth=None if truth is None else np.asarray(logit(probability[ORACLE])),
    )
    found["novelty"] = uncertainty.novelties(
        inputs,
        measured,
        fold,
        group,
        settings,
        optional=optional,
        false_flags=fit["novelty"]["false_flags"],
        folds=fit["params"]["tuning_folds"],
    )
    if repeats := [column for column in held_out.column_names if column.startswith("log_odds_repeat_")]:
        right = [float(((held_out[column].to_numpy() > 0) == outcome).mean()) for column in repeats]
        found["repeated"] = {
            "flattering": "rows were parted at random, as nobody knows which hang together",
            "repeats": len(right),
            "accuracy": float(np.mean(right)),
            "spread": float(np.std(right)),
        }
    if truth is not None:
        found["fusion"] = fusion.evaluate(rows, truth, log_odds, outcome, group, settings, group_area_m2=group_area_m2)
    points = {
        policy: threshold_of_detection(outcome, probability[SHIPPED], share=share)
        for policy, share in DETECTION_POLICIES.items()
    }
    return Evaluation(
        metrics={name: found, "operating_points": points},
        plots=curve_points.of_alarms(
            outcome,
            curve_points.chosen(found, probability),
            group,
            bins=settings.calibration_bins,
            group_area_m2=group_area_m2,
        ),
        measured_on=f"{len(outcome):,} alarms, {int(outcome.sum()):,} of them hazards, in groups not seen",
    )


_WITHOUT = "log_odds_without_"


def _probability(held_out: pa.Table, column: str) -> Floats:
    return np.asarray(expit(held_out[column].to_numpy()))


def _with_worst_group(skill: dict[str, Any], outcome: Mask, probability: Floats, group: Names) -> dict[str, Any]:
    return {**skill, "roc_auc_worst_group": min(roc_auc_by_group(outcome, probability, group).values())}


def roc_auc_by_group(outcome: Mask, probability: Floats, group: Names) -> dict[str, float]:
    """Return the ROC-AUC within each group that has both outcomes.

    Raises
    ------
    UndefinedMetricError
        No group has.
    """
    found = {}
    for name in np.unique(group):
        some = group == name
        if 0 < outcome[some].sum() < some.sum():
            found[str(name)] = float(roc_auc_score(outcome[some], probability[some]))
    if not found:
        raise UndefinedMetricError("metrics: no group has both hazards and clutter; expected at least one")
    return found
