"""Held-out intervals, and novelty of groups held out -> whether both keep, group by group, what they promise."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pipeline.model import novelty
from pipeline.params import Evaluate, Measured
from pipeline.validation.bootstrap import mean_difference
from pipeline.validation.metrics import Floats, Mask

Names = npt.NDArray[Any]


def intervals(
    low: Floats,
    high: Floats,
    outcome: Mask,
    log_odds: Floats,
    group: Names,
    settings: Evaluate,
    *,
    level: float,
    truth: Floats | None,
) -> dict[str, Any]:
    """Return how often intervals of groups not seen hold what they should.

    Parameters
    ----------
    low, high, log_odds
        Ends of each alarm's interval, and what was said of it, by a model that never saw its group; shape (n,).
    truth
        Log-odds of the oracle, shape (n,); None where it is not known.

    Returns
    -------
    dict
        ``level``: what they promise. ``mean_width`` of the probability. ``bins_held``: share of bins of equal count in
        which the share of hazards lies between the mean ends. ``groups_held``: the same of groups; the share in a
        small group is off by chance too, so it is more often outside than its probability is. ``oracle_held``: share of
        alarms whose true probability, given what was measured, is inside.
    """
    below, above = expit(low), expit(high)
    parts = np.array_split(np.argsort(log_odds, kind="stable"), settings.calibration_bins)
    of_groups = [np.flatnonzero(group == name) for name in np.unique(group)]
    found: dict[str, Any] = {
        "level": level,
        "mean_width": float((above - below).mean()),
        "bins_held": _held_in(parts, below, above, outcome),
        "groups_held": _held_in(of_groups, below, above, outcome),
    }
    if truth is not None:
        found["oracle_held"] = _share((low <= truth) & (truth <= high), group, settings)
    return found


def _held_in(parts: Sequence[npt.NDArray[np.int64]], low: Floats, high: Floats, outcome: Mask) -> float:
    return float(np.mean([low[part].mean() <= outcome[part].mean() <= high[part].mean() for part in parts]))


def novelties(
    inputs: Floats,
    declared: Mapping[str, Measured],
    fold: Names,
    group: Names,
    settings: Evaluate,
    *,
    optional: Sequence[Sequence[str]],
    false_flags: float,
    folds: int,
) -> dict[str, Any]:
    """Return how many alarms of groups not seen are called novel, as measured and perturbed.

    Parameters
    ----------
    inputs
        Shape (n, inputs), in the order of `declared`, NaN where missing.
    fold, group
        Of each row, shape (n,): what is like training is learnt without the row's fold.
    optional, false_flags, folds
        As the model was fitted with: see `novelty.fit`.

    Returns
    -------
    dict
        ``false_flags_limit`` and ``false_flags``: the share of alarms that may be called novel, and the share that is,
        with its interval over groups; ``worst_group``. ``perturbed``: by the perturbation of the alarms, the share that
        is called ``novel``, and ``novel_or_out_of_range``.
    """
    names = list(declared)
    perturbed = _perturbed(inputs, np.random.default_rng(settings.seed))
    scores = {kind: np.empty(len(inputs)) for kind in ("as_measured", *perturbed)}
    for name in np.unique(fold):
        held = fold == name
        usual = novelty.fit(inputs[~held], names, group[~held], optional=optional, false_flags=false_flags, folds=folds)
        for kind, rows in (("as_measured", inputs), *perturbed.items()):
            scores[kind][held] = usual.of(rows[held])
    flagged = scores.pop("as_measured") > 1
    low, high = (np.array([getattr(entry, side) for entry in declared.values()]) for side in ("low", "high"))
    return {
        "false_flags_limit": false_flags,
        "false_flags": _share(flagged, group, settings),
        "worst_group": float(max(flagged[group == name].mean() for name in np.unique(group))),
        "perturbed": {
            kind: {
                "novel": _share(values > 1, group, settings),
                "novel_or_out_of_range": float(
                    ((values > 1) | ((perturbed[kind] < low) | (perturbed[kind] > high)).any(axis=1)).mean()
                ),
            }
            for kind, values in scores.items()
        },
    }


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


def _share(holds: Mask, group: Names, settings: Evaluate) -> dict[str, float]:
    """Return a share of the alarms with its interval over groups."""
    nothing = np.zeros(len(holds))
    found = mean_difference(
        holds.astype(np.float64), nothing, group, samples=settings.bootstrap_samples, seed=settings.seed
    )
    return dataclasses.asdict(found)
