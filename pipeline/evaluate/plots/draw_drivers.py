"""Points of `driver_points` -> what moves the model: a swarm of rows for each feature, and bars."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.evaluate.plots.draw_curves import COLOURS
from pipeline.validation.metrics import Floats

BARS = 15
CLEAR = 0.3
"""Least rank correlation of value and effect that gives a direction."""
LINEAR = 0.1
"""Log-odds about 0 within which the swarm's axis is about linear."""
TICKS = (-10, -3, -1, -0.3, -0.1, 0, 0.1, 0.3, 1, 3, 10)
BINS = 120
"""Of a swarm, along its axis: rows in one bin stand above each other."""


def effects(figure: Figure, points: pa.Table) -> None:
    """Draw a dot for each row and feature: how far it moved the log-odds, coloured by the feature's value."""
    axes = figure.add_subplot()
    names = pc.unique(points["feature"]).to_pylist()
    every = points["added_log_odds"].to_numpy()
    drawn_at = np.arcsinh(every / LINEAR)
    edges = np.linspace(drawn_at.min(), drawn_at.max() + 1e-9, BINS + 1)
    labels, drawn = [], None
    for place, name in enumerate(names):
        rows = points.filter(pc.equal(points["feature"], name))
        added, rank = rows["added_log_odds"].to_numpy(), rows["value_rank"].to_numpy()
        height = place + _swarm(np.digitize(np.arcsinh(added / LINEAR), edges))
        missing = np.isnan(rank)
        labels.append(f"{name} ({np.abs(added).mean():.2f})")
        axes.scatter(added[missing], height[missing], s=4, color="#999999", linewidths=0)
        drawn = axes.scatter(
            added[~missing], height[~missing], s=4, c=rank[~missing], cmap="cividis", vmin=0, vmax=1, linewidths=0
        )
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.grid(alpha=0.3, axis="x")
    axes.set_xscale("asinh", linear_width=LINEAR)
    ticks = [tick for tick in TICKS if every.min() <= tick <= every.max()]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel(
        f"added to the row's log-odds, against the mean row (log scale beyond ±{LINEAR:g}); in brackets the mean size",
        fontsize=8,
    )
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=axes, ticks=[0, 1], aspect=40, pad=0.01)
        bar.ax.set_yticklabels(["low", "high"], fontsize=7)
        bar.set_label("the feature's value among these rows (missing: grey)", fontsize=7)


def importance(figure: Figure, points: pa.Table) -> None:
    """Draw for the features that move the model most how far, which way, and what the trees gain by them."""
    first = points.slice(0, BARS)
    names, places = first["feature"].to_pylist(), np.arange(first.num_rows)
    left, right = figure.subplots(1, 2, sharey=True)
    sizes, direction = first["mean_size"].to_numpy(), first["direction"].to_numpy()
    kinds = [
        ("more of it, more risk", COLOURS[1], "", direction >= CLEAR),
        ("more of it, less risk", COLOURS[0], "////", direction <= -CLEAR),
        ("neither", "#bbbbbb", "..", np.abs(direction) < CLEAR),
    ]
    for _, colour, hatch, mask in kinds:
        left.barh(places[mask], sizes[mask], color=colour, hatch=hatch, edgecolor="white")
    left.legend(handles=[Patch(facecolor=c, hatch=h, edgecolor="white", label=n) for n, c, h, _ in kinds], fontsize=7)
    left.set_xlabel("mean size of what it adds, log-odds", fontsize=8)
    right.barh(places, 100 * first["gain_share"].to_numpy(), color="#666666")
    right.set_xlabel("share of all the trees' gain, %\n(what the log-linear part says is not in it)", fontsize=8)
    left.set_yticks(places, names)
    left.tick_params(axis="y", labelsize=7)
    left.invert_yaxis()
    for axes in (left, right):
        axes.grid(alpha=0.3, axis="x")


def _swarm(bins: np.ndarray) -> Floats:
    """Return each row's offset from the middle, so that rows of one bin lie above and below each other."""
    order = np.argsort(bins, kind="stable")
    starts = np.searchsorted(bins[order], bins[order])
    nth = np.arange(len(bins)) - starts
    side = np.where(nth % 2, 1, -1) * ((nth + 1) // 2)
    off = np.empty(len(bins))
    off[order] = side * min(0.06, 0.42 / max(1, int(np.abs(side).max())))
    return off
