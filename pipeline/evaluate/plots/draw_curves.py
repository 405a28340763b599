"""Points of several models -> a line for each: the shipped model, its best baseline and the truth, where known."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from matplotlib.figure import Figure

from pipeline.model.skill_records import ORACLE, SHIPPED

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito (2008)
LINES = ("-", "--", ":", "-.")
MARKS = ("o", "s", "^", "D")

X = {
    "area_share": "share of the area, highest risk first",
    "alarm_share": "share of the alarms, highest score first",
    "false_alarm_share": "false alarms (share of what was none)",
    "false_alarms_per_m2": "false alarms per m² of searched ground",
    "recall": "recall (share of what happened)",
}
"""Label of the x axis, by a plot's first column."""


@dataclass(frozen=True)
class _Axes:
    y: str
    log: bool = False
    by_chance: Callable[[float], float] | None = None


AXES = {
    "precision_recall": _Axes("precision (share of alarms that were right)"),
    "roc": _Axes("probability of detection", by_chance=lambda share: share),
    "operating": _Axes("probability of detection", log=True),
    "gain": _Axes("share of what happened that lies inside", log=True, by_chance=lambda share: share),
    "lift": _Axes("lift: times as much as chance finds there", log=True, by_chance=lambda share: 1.0),
}


def _lines(figure: Figure, points: pa.Table, *, of: _Axes) -> None:
    axes = figure.add_subplot()
    along, *models = points.column_names
    x = points[along].to_numpy()
    for index, name in enumerate(models):
        axes.plot(x, points[name].to_numpy(), LINES[index], color=COLOURS[index], label=_label(name))
    if of.by_chance:
        axes.plot(x, [of.by_chance(share) for share in x], color="grey", linewidth=1, label="by chance")
    axes.set(xlabel=X[along], ylabel=of.y, xscale="log" if of.log else "linear", ylim=(0, None))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _reliability(figure: Figure, points: pa.Table) -> None:
    axes = figure.add_subplot()
    suffixes = [name.removeprefix("predicted") for name in points.column_names if name.startswith("predicted")]
    top = 1.05 * max(
        points[f"{column}{name}"].to_numpy().max() for name in suffixes for column in ("predicted", "observed")
    )
    axes.plot([0, top], [0, top], color="grey", linewidth=1, label="as predicted")
    for index, suffix in enumerate(suffixes):
        axes.plot(
            points[f"predicted{suffix}"].to_numpy(),
            points[f"observed{suffix}"].to_numpy(),
            MARKS[index] + LINES[index],
            color=COLOURS[index],
            markersize=4,
            label=_label(suffix[1:] or SHIPPED),
        )
    axes.set(xlabel="predicted probability", xlim=(0, top), ylim=(0, top))
    axes.set_ylabel(f"observed share, {points.num_rows} bins of {points['rows'][0]} rows or so")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _label(model: str) -> str:
    name = model.replace("_", " ")
    return f"{name} ({ {SHIPPED: 'shipped', ORACLE: 'knows the truth'}.get(model, 'best baseline') })"


DRAWN: dict[str, Callable[[Figure, pa.Table], None]] = {
    "reliability": _reliability,
    **{name: partial(_lines, of=axes) for name, axes in AXES.items()},
}
