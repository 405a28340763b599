"""Held-out intervals and novelty -> how often the intervals cover, and how many alarms are called novel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pipeline.model import novelty
from pipeline.model.skill_records import Estimate, IntervalSkill, NovelShare, NoveltySkill
from pipeline.params.datasets import Measured
from pipeline.runtime import workers
from pipeline.validation.bootstrap import BlockDraws
from pipeline.validation.metrics import Floats, Mask

Names = npt.NDArray[Any]


def intervals(
    low: Floats,
    high: Floats,
    outcome: Mask,
    log_odds: Floats,
    draws: BlockDraws,
    *,
    bins: int,
    level: float,
    truth: Floats | None,
) -> IntervalSkill:
    """Return how often intervals of groups not seen contain what they should.

    Parameters
    ----------
    low, high
        Ends of each alarm's interval, log-odds, shape (n,), by a model that never saw the alarm's group.
    outcome
        Whether each alarm is a hazard, shape (n,).
    log_odds
        Of each alarm, by the same model, shape (n,).
    draws
        Of the alarms' groups.
    bins
        Of equal count, by the log-odds.
    level
        Share of new groups that the intervals are meant for.
    truth
        Log-odds of the oracle, shape (n,); None where it is not known.
    """
    below, above = expit(low), expit(high)
    of_bins = np.array_split(np.argsort(log_odds, kind="stable"), bins)
    of_groups = [np.flatnonzero(draws.block == number) for number in range(draws.blocks)]
    covered = None if truth is None else (low <= truth) & (truth <= high)
    return IntervalSkill(
        level=level,
        mean_width=float((above - below).mean()),
        bins_held=_coverage(of_bins, below, above, outcome),
        groups_held=_coverage(of_groups, below, above, outcome),
        oracle_held=None if covered is None else _share(covered, draws),
    )


def _coverage(rows: Sequence[npt.NDArray[np.int64]], low: Floats, high: Floats, outcome: Mask) -> float:
    return float(np.mean([low[part].mean() <= outcome[part].mean() <= high[part].mean() for part in rows]))


def novelties(
    inputs: Floats,
    declared: Mapping[str, Measured],
    fold: Names,
    group: Names,
    draws: BlockDraws,
    *,
    optional: Sequence[Sequence[str]],
    false_flags: float,
    folds: int,
    seed: int,
) -> NoveltySkill:
    """Return how many alarms of groups not seen are called novel, as measured and perturbed.

    Parameters
    ----------
    inputs
        Shape (n, inputs), in the order of `declared`, NaN where missing.
    declared
        Range of each input, by its name.
    fold, group
        Of each row, shape (n,): novelty is fitted without the row's fold.
    draws
        Of the rows' groups.
    optional, false_flags, folds
        As the model was fitted with: see `novelty.fit`.
    seed
        Of the perturbations.
    """
    names = list(declared)
    perturbed = _perturbed(inputs, np.random.default_rng(seed))

    def scores_of(name: str) -> tuple[Mask, list[Floats]]:
        in_fold = fold == name
        fitted = novelty.fit(
            inputs[~in_fold], names, group[~in_fold], optional=optional, false_flags=false_flags, folds=folds
        )
        return in_fold, [fitted.of(rows[in_fold]) for rows in (inputs, *perturbed.values())]

    scores = np.empty((1 + len(perturbed), len(inputs)))
    for in_fold, of_fold in workers.map_in_order(scores_of, np.unique(fold)):
        scores[:, in_fold] = of_fold
    flagged, novel = scores[0] > 1, dict(zip(perturbed, scores[1:] > 1, strict=True))
    low, high = (np.array([getattr(entry, side) for entry in declared.values()]) for side in ("low", "high"))
    outside = {kind: ((rows < low) | (rows > high)).any(axis=1) for kind, rows in perturbed.items()}
    return NoveltySkill(
        false_flags_limit=false_flags,
        false_flags=_share(flagged, draws),
        worst_group=float(max(flagged[draws.block == number].mean() for number in range(draws.blocks))),
        perturbed={
            kind: NovelShare(novel=_share(mask, draws), novel_or_out_of_range=float((mask | outside[kind]).mean()))
            for kind, mask in novel.items()
        },
    )


def _perturbed(inputs: Floats, random: np.random.Generator) -> dict[str, Floats]:
    """Return what a sensor that is broken, swapped or used elsewhere could give, by the perturbation."""
    spread, columns = np.nanstd(inputs, axis=0), inputs.shape[1]
    drawn = np.eye(columns)[random.integers(0, columns, len(inputs))]
    return {
        "twice as large": inputs * 2,
        "half as large": inputs / 2,
        "shifted by two deviations": inputs + 2 * spread,
        "one input off by five deviations": inputs + 5 * spread * drawn,
        "inputs swapped": np.roll(inputs, 1, axis=1),
        "sign reversed": -inputs,
        "each input of another alarm": np.column_stack([random.permutation(column) for column in inputs.T]),
    }


def _share(mask: Mask, draws: BlockDraws) -> Estimate:
    """Return a share of the alarms with its interval over groups."""
    return draws.mean(mask.astype(np.float64))
