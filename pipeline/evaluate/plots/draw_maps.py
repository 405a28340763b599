"""Risk of every cell at some cutoffs, and what followed -> maps beside each other, all on one scale."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from pipeline.model import cells as h3cells

RING = "#D00000"
LEAST = 1e-4
"""Probability below which all cells look alike."""


def risk_maps(figure: Figure, points: pa.Table) -> None:
    """Draw a map for each cutoff: cells coloured by their probability, a ring where an event followed.

    Parameters
    ----------
    points
        ``cutoff`` (a day), ``horizon_days``, ``cell``, ``probability`` and ``event_followed`` (0 or 1).
    """
    cutoffs = pc.unique(points["cutoff"]).to_pylist()
    highest = float(points["probability"].to_numpy().max())
    scale = LogNorm(LEAST, max(highest, 10 * LEAST))
    panels = figure.subplots(1, len(cutoffs), squeeze=False, sharex=True, sharey=True)[0]
    drawn = None
    for axes, cutoff in zip(panels, cutoffs, strict=True):
        rows = points.filter(pc.equal(points["cutoff"], cutoff))
        outlines = h3cells.outlines(rows["cell"].to_pylist())
        drawn = PolyCollection(outlines, cmap="cividis", norm=scale, edgecolors="face", linewidths=0.1)
        drawn.set_array(np.maximum(rows["probability"].to_numpy(), LEAST))
        axes.add_collection(drawn)
        followed = rows["event_followed"].to_numpy() == 1
        middles = np.array([outline.mean(axis=0) for outline in outlines])
        axes.scatter(*middles[followed].T, s=14, facecolors="none", edgecolors="white", linewidths=1.6)
        axes.scatter(*middles[followed].T, s=14, facecolors="none", edgecolors=RING, linewidths=0.8)
        axes.autoscale_view()
        axes.set_aspect(1 / np.cos(np.radians(middles[:, 1].mean())))
        days = rows["horizon_days"][0].as_py()
        axes.set_title(
            f"as known when {cutoff} began\nan event followed within {days} days in\n"
            f"{int(followed.sum()):,} of n = {rows.num_rows:,} cells (rings)",
            fontsize=8,
        )
        axes.tick_params(labelsize=7)
        axes.set_xlabel("longitude, degrees", fontsize=7)
    panels[0].set_ylabel("latitude, degrees", fontsize=7)
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=panels.tolist(), extend="min", aspect=40, pad=0.01, format="%g")
        bar.set_label("probability of at least one event in the cell", fontsize=8)
        bar.ax.tick_params(labelsize=7)
