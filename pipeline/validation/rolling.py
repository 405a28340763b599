"""A way to fit and to speak -> calibrated log-odds of rows that no fit had seen, origin by origin.

The area model and every baseline go through this, so that each has the same rows, the same choices and the same
calibration: what differs is the skill.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pipeline.model import loglinear
from pipeline.model.log_odds import Calibration
from pipeline.runtime.errors import StageError
from pipeline.validation.origins import Instants, Mask, Origin, rehearsed

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]

Speak: TypeAlias = Callable[[Origin], Floats]
"""Fits on an origin's training rows and returns log-odds of its block, shape (rows of the block, candidates)."""


@dataclass(frozen=True)
class Chosen:
    """What the blocks before one origin have chosen for it."""

    origin: Origin
    candidate: int
    """Index of the candidate with the lowest log-loss on the rehearsed rows."""
    calibration: Calibration
    """Fitted to that candidate's log-odds of the rehearsed rows."""
    rehearsed: Mask
    """Those rows, shape (n,)."""


@dataclass(frozen=True)
class Forecast:
    """What was said before it was known."""

    log_odds: Floats
    """Calibrated, shape (n,); NaN where no tested block is."""
    rehearsed_log_odds: Floats
    """Of the rows that the first tested origin was calibrated by, calibrated; shape (n,), NaN elsewhere."""
    chosen: list[Chosen]
    """One for each tested origin, in order."""


def forecast(
    outcome: Mask, labels_until: Instants, origins: Sequence[Origin], speak: Speak, *, rehearsals: int
) -> Forecast:
    """Let models fitted at each origin speak of its block, chosen and calibrated by the blocks before it.

    Parameters
    ----------
    outcome, labels_until
        Of all rows, shape (n,); the second as `splits.labels_until` returns it. The outcomes of a block are looked at
        only by origins at which they were known.
    origins
        As `splits.origins` returns them, with `rehearsals` before the test.
    speak
        Returns as many candidates at each origin.

    Raises
    ------
    StageError
        The rehearsed rows of an origin are of one class.
    """
    said: dict[int, Floats] = {}
    log_odds, before = np.full(len(outcome), np.nan), np.full(len(outcome), np.nan)
    chosen: list[Chosen] = []
    for k, origin in enumerate(origins):
        said[k] = speak(origin)
        if not origin.tested:
            continue
        rows = rehearsed(labels_until, origins, k, rehearsals=rehearsals)
        known = outcome[rows]
        if known.all() or not known.any():
            raise StageError(
                f"origin {origin.at}: {int(known.sum())} of the {len(known)} rows of the {rehearsals} blocks before it "
                "are positive; expected some, and not all. Do they hold events?"
            )
        heard = np.concatenate([said[j][rows[origins[j].block]] for j in range(k - rehearsals, k)])
        place = np.concatenate([np.flatnonzero(rows & origins[j].block) for j in range(k - rehearsals, k)])
        best = int(np.argmin(_log_loss(outcome[place], heard)))
        calibration = loglinear.calibrate(heard[:, best], outcome[place])
        if not chosen:
            before[place] = calibration.of(heard[:, best])
        log_odds[origin.block] = calibration.of(said[k][:, best])
        chosen.append(Chosen(origin, best, calibration, rows))
    return Forecast(log_odds, before, chosen)


def thinned(train: Mask, outcome: Mask, *, most_negatives: int, seed: int) -> tuple[Indices, Floats]:
    """Return the rows to learn from and how many rows each stands for, shape (k,) each.

    All rows that an event followed are kept, and of the others no more than so many, drawn at random: where events are
    rare, the rest adds time and next to nothing else (King and Zeng, Political Analysis 2001).

    Examples
    --------
    >>> outcome = np.array([True, False, False, False, False])
    >>> rows, count = thinned(np.ones(5, bool), outcome, most_negatives=2, seed=7)
    >>> len(rows), count.tolist()
    (3, [1.0, 2.0, 2.0])
    """
    negative = np.flatnonzero(train & ~outcome)
    kept = min(len(negative), most_negatives)
    drawn = np.random.default_rng(seed).choice(negative, kept, replace=False) if kept < len(negative) else negative
    rows = np.sort(np.concatenate([np.flatnonzero(train & outcome), drawn]))
    return rows, np.where(outcome[rows], 1.0, len(negative) / max(kept, 1))


def _log_loss(outcome: Mask, log_odds: Floats) -> Floats:
    """Return the mean log-loss of each candidate, shape (candidates,)."""
    probability = np.clip(expit(log_odds), 1e-15, 1 - 1e-15)
    return np.asarray(-np.where(outcome[:, None], np.log(probability), np.log1p(-probability)).mean(axis=0))
