"""Held-out log-odds of cells and cutoffs -> metrics against baselines, whole theatre and subgroup by subgroup."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from pipeline.evaluate import baselines, oracle
from pipeline.evaluate.comparison import compare
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.folds import by_fold
from pipeline.evaluate.hot_spots import hot_spot_skill, near_misses
from pipeline.evaluate.plots import curve_points
from pipeline.evaluate.subgroups import masks, measurable
from pipeline.model import cells as h3cells
from pipeline.model.catalogue import Feature
from pipeline.model.cutoffs import Instants, labels_until
from pipeline.model.fit_record import AreaFitRecord, OriginFit
from pipeline.model.skill_records import ORACLE, SHIPPED, Comparison, Metrics, Skill, SubgroupSkill
from pipeline.params.datasets import AreaTask
from pipeline.params.stages import Evaluate
from pipeline.runtime import workers
from pipeline.runtime.errors import StageError
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import Floats, Mask, skill
from pipeline.validation.origins import blocks, refuse_overlap, rolling_origins

FLAGGED_SHARE = 0.01
"""Share of the cells that the operating point flags."""
NEAR_MISS_STEPS = 2
"""An event so many cells from a searched one counts as nearly caught."""


def evaluate(
    table: pa.Table,
    held_out: pa.Table,
    fit: AreaFitRecord,
    task: AreaTask,
    settings: Evaluate,
    *,
    features: Sequence[Feature],
    truth: pa.Table | None,
) -> Evaluation:
    """Measure the shipped model on rows that it had not seen, beside baselines that learned from the same rows.

    Parameters
    ----------
    table
        What `features` wrote, sorted by cutoff and cell.
    held_out, fit
        What `train` wrote: the predictions of the test rows, and the record of the fit.
    task
        What the model predicts, when.
    settings
        How skill is measured.
    features
        What each of the table's features is.
    truth
        See `oracle.of_cells`; None where it is not known.

    Raises
    ------
    LeakError
        A held-out row stands before the end of the training's labels.
    StageError
        The held-out rows are not the test's rows; a metric is not defined.
    """
    horizon = task.horizon_days
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    outcome = table["label"].to_numpy(zero_copy_only=False) == 1
    origins = rolling_origins(cutoffs, task, calibration_blocks=fit.params.calibration_blocks)
    in_test = np.any([origin.block for origin in origins if origin.tested], axis=0)
    tested = table.filter(pa.array(in_test))
    _refuse_other_rows(held_out, tested)
    _refuse_leaks(held_out, cutoffs[in_test], fit.origins)

    probability = {
        SHIPPED: expit(held_out["log_odds"].to_numpy()),
        **baselines.probabilities(
            table,
            outcome,
            labels_until(cutoffs, task),
            origins,
            features=features,
            ridge=settings.logistic_ridge,
            fitted=fit.params,
        ),
    }
    if truth is not None:
        probability[ORACLE] = oracle.of_cells(tested, truth, horizon_days=horizon)
    happened, when = outcome[in_test], cutoffs[in_test]
    fold = np.asarray(held_out["fold"].to_pylist())
    compared = partial(_compared, settings=settings, horizon_days=horizon)
    subgroups = masks(table, outcome, in_test, fold, features)
    everywhere = np.ones(len(happened), dtype=np.bool_)
    measured = [("", everywhere), *((n, mask) for n, mask in subgroups.items() if measurable(mask, happened))]
    theatre, *parts = workers.map_in_order(
        lambda part: compared(happened[part[1]], {m: p[part[1]] for m, p in probability.items()}, when[part[1]]),
        measured,
    )
    rings = h3cells.ring_matrices(h3cells.from_names(pc.unique(tested["cell"]).to_pylist()), NEAR_MISS_STEPS)
    misses = partial(near_misses, happened, rings=rings, shares=settings.area_shares)
    comparison = Comparison(
        **{**vars(theatre), "models": {m: _with(s, misses(probability[m])) for m, s in theatre.models.items()}},
        folds=by_fold(
            happened,
            probability,
            fold,
            blocks(when, horizon_days=horizon),
            settings,
            rounds={origin.day: origin.rounds for origin in fit.origins},
        ),
        subgroups={name: part for (name, _), part in zip(measured[1:], parts, strict=True)},
        subgroups_too_small=sorted(subgroups.keys() - {name for name, _ in measured}),
    )
    flagging = float(np.quantile(probability[SHIPPED], 1 - FLAGGED_SHARE))
    return Evaluation(
        metrics=Metrics(
            comparisons={"theatre": comparison}, operating_points={f"top_{100 * FLAGGED_SHARE:g}pct": flagging}
        ),
        plots=curve_points.of_places(
            happened, curve_points.chosen(comparison, probability), when, bins=settings.calibration_bins
        ),
        measured_on=f"{len(happened):,} cells and cutoffs, {int(happened.sum()):,} with an event in {horizon} days",
    )


def _compared(
    outcome: Mask, probability: dict[str, Floats], cutoffs: Instants, *, settings: Evaluate, horizon_days: int
) -> SubgroupSkill:
    skills = {
        name: dataclasses.replace(
            skill(outcome, values, bins=settings.calibration_bins),
            hot_spots=hot_spot_skill(outcome, values, cutoffs, shares=settings.area_shares),
        )
        for name, values in probability.items()
    }
    draws = BlockDraws.of(
        blocks(cutoffs, horizon_days=horizon_days), samples=settings.bootstrap_samples, seed=settings.seed
    )
    return compare(outcome, probability, skills, draws)


def _with(skill: Skill, hot_spots: dict[str, float]) -> Skill:
    return dataclasses.replace(skill, hot_spots=skill.hot_spots | hot_spots)


def _refuse_other_rows(held_out: pa.Table, tested: pa.Table) -> None:
    for name in ("cutoff", "cell"):
        if not held_out[name].equals(tested[name]):
            raise StageError(
                f"evaluate: the {held_out.num_rows} held-out predictions are not those of the {tested.num_rows} test "
                f"rows of the features ({name} differs); expected the same rows in the same order: run "
                "`python -m pipeline.train` again"
            )


def _refuse_leaks(held_out: pa.Table, cutoffs: Instants, origins: list[OriginFit]) -> None:
    """Refuse held-out rows that stand before the end of the labels from which their origin's model learned."""
    fold = np.asarray(held_out["fold"].to_pylist())
    for origin in origins:
        predicted = cutoffs[fold == origin.day]
        refuse_overlap(predicted, labels_until=_instant(origin.labels_until), where="evaluate")


def _instant(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "us")
