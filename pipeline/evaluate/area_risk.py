"""Held-out log-odds of cells and cutoffs -> metrics against baselines, whole theatre and the parts that matter."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit

from pipeline import splits
from pipeline.cli import StageError
from pipeline.evaluate import baselines, curves, oracle
from pipeline.evaluate.comparison import ORACLE, SHIPPED, compare
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.hot_spots import hot_spot_skill
from pipeline.evaluate.metrics import Floats, Mask, skill
from pipeline.params import AreaTask, Evaluate
from pipeline.splits import Instants

FLAGGED_SHARE = 0.01
"""Share of the cells that the operating point flags."""


def evaluate(
    table: pa.Table,
    held_out: pa.Table,
    fit: Mapping[str, Any],
    task: AreaTask,
    settings: Evaluate,
    *,
    truth: pa.Table | None,
) -> Evaluation:
    """Measure the shipped model where it had not looked, beside baselines that learned from the same rows.

    Parameters
    ----------
    table
        What `features` wrote, sorted by cutoff and cell.
    held_out, fit
        What `train` wrote.
    truth
        See `oracle.of_cells`; None where it is not known.

    Raises
    ------
    LeakError
        A held-out row stands before the end of the training's labels.
    StageError
        The held-out rows are not the test's rows; a metric is not defined.
    """
    horizon = int(fit["horizon_days"])
    cutoffs = table["cutoff"].to_numpy().astype("datetime64[us]")
    outcome = table[f"label_{horizon}d"].to_numpy(zero_copy_only=False) == 1
    rows = _rows(cutoffs, task, fit, horizon)
    tested = table.filter(pa.array(rows.test))
    _refuse_other_rows(held_out, tested)
    splits.refuse_overlap(cutoffs[rows.test], labels_until=_instant(fit["labels_until"]), where="evaluate")

    probability = {
        SHIPPED: expit(held_out["log_odds"].to_numpy()),
        **baselines.probabilities(
            table,
            outcome,
            rows,
            linear=list(fit["baseline"]["weights"]),
            horizon_days=horizon,
            ridge=fit["params"]["baseline_ridge"],
        ),
    }
    if truth is not None:
        probability[ORACLE] = oracle.of_cells(tested, truth, horizon_days=horizon)
    happened, when = outcome[rows.test], cutoffs[rows.test]
    found = _compared(happened, probability, when, settings)
    found["subsets"] = {
        name: _compared(happened[some], {m: p[some] for m, p in probability.items()}, when[some], settings)
        for name, some in _subsets(table, outcome, rows).items()
    }
    flagging = float(np.quantile(probability[SHIPPED], 1 - FLAGGED_SHARE))
    plotted = {name: probability[name] for name in (SHIPPED, found["best_baseline"])}
    return Evaluation(
        metrics={f"{horizon}d": found, "operating_points": {f"top_{100 * FLAGGED_SHARE:g}pct": flagging}},
        plots={
            "reliability": curves.reliability(happened, probability[SHIPPED], bins=settings.calibration_bins),
            "precision_recall": curves.precision_recall(happened, probability[SHIPPED]),
            "gain": curves.gains(happened, plotted, when),
        },
        measured_on=f"{len(happened):,} cells and cutoffs, {int(happened.sum()):,} with an event in {horizon} days",
    )


def _compared(outcome: Mask, probability: dict[str, Floats], cutoffs: Instants, settings: Evaluate) -> dict[str, Any]:
    measured = {
        name: {
            **skill(outcome, values, bins=settings.calibration_bins),
            **hot_spot_skill(outcome, values, cutoffs, shares=settings.area_shares),
        }
        for name, values in probability.items()
    }
    return compare(outcome, probability, measured, cutoffs, settings)


def _rows(cutoffs: Instants, task: AreaTask, fit: Mapping[str, Any], horizon_days: int) -> baselines.Rows:
    split = splits.split(cutoffs, task, horizon_days=horizon_days)
    calibration_from = _instant(fit["calibration_from"])
    earlier = cutoffs + np.timedelta64(horizon_days, "D") <= calibration_from
    return baselines.Rows(
        train=split.train,
        before_calibration=split.train & earlier,
        calibration=split.train & (cutoffs >= calibration_from),
        test=split.test,
    )


def _subsets(table: pa.Table, outcome: Mask, rows: baselines.Rows) -> dict[str, Mask]:
    """Return parts of the test rows: those with a label event known by then, and the cells that ever have one.

    Which cells ever have one is known only afterwards: the second is there to compare with studies that do so.
    """
    known = table[baselines.RUNNING_MEAN].to_numpy() > 0
    cell = table["cell"].combine_chunks().dictionary_encode().indices.to_numpy()
    ever = np.zeros(cell.max() + 1, dtype=np.bool_)
    ever[cell[known | outcome]] = True
    return {"cells_with_history": known[rows.test], "cells_ever_hit": ever[cell[rows.test]]}


def _refuse_other_rows(held_out: pa.Table, tested: pa.Table) -> None:
    for name in ("cutoff", "cell"):
        if not held_out[name].equals(tested[name]):
            raise StageError(
                f"evaluate: the {held_out.num_rows} held-out predictions are not those of the {tested.num_rows} test "
                f"rows of the features ({name} differs); expected the same rows in the same order: run "
                "`python -m pipeline.train` again"
            )


def _instant(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "us")
