"""The points of the plots -> pictures for MLflow and the report; the same points give the same bytes."""

import textwrap
from collections.abc import Callable
from io import BytesIO

import matplotlib as mpl
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("agg")  # no screen is needed

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # told apart by colour-blind readers (Okabe and Ito, 2008)
LINES = ("-", "--", ":", "-.")  # and in print


def draw(name: str, points: pa.Table, *, title: str) -> bytes:
    """Return a plot as PNG.

    Parameters
    ----------
    name
        Of the plot: a key of `DRAWN`.
    points
        As `curves` made them.
    title
        What was measured, on how many rows.
    """
    figure = Figure(figsize=(6, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    DRAWN[name](axes, points)
    axes.set_title(textwrap.fill(title, 76), fontsize=9)
    axes.grid(alpha=0.3)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _reliability(axes: Axes, points: pa.Table) -> None:
    predicted, observed = points["predicted"].to_numpy(), points["observed"].to_numpy()
    top = float(max(predicted.max(), observed.max())) * 1.05
    axes.plot([0, top], [0, top], color="grey", linewidth=1, label="as predicted")
    axes.plot(predicted, observed, "o-", color=COLOURS[0], markersize=4, label="observed, bins of equal count")
    axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, top), ylim=(0, top))
    axes.legend(fontsize=8)


def _precision_recall(axes: Axes, points: pa.Table) -> None:
    axes.plot(points["recall"].to_numpy(), points["precision"].to_numpy(), color=COLOURS[0])
    axes.set(
        xlabel="recall (share of what happened)", ylabel="precision (share of alarms that were right)", ylim=(0, None)
    )


def _gain(axes: Axes, points: pa.Table) -> None:
    share = points["area_share"].to_numpy()
    for index, name in enumerate(points.column_names[1:]):
        axes.plot(share, points[name].to_numpy(), LINES[index], color=COLOURS[index], label=name)
    axes.plot(share, share, color="grey", linewidth=1, label="by chance")
    axes.set(xlabel="share of the area, highest risk first", ylabel="share of events inside", xscale="log")
    axes.legend(fontsize=8)


def _roc(axes: Axes, points: pa.Table) -> None:
    axes.plot(points["false_alarm_share"].to_numpy(), points["detection_probability"].to_numpy(), color=COLOURS[0])
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="by chance")
    axes.set(xlabel="false alarms (share of clutter)", ylabel="probability of detection")
    axes.legend(fontsize=8)


DRAWN: dict[str, Callable[[Axes, pa.Table], None]] = {
    "reliability": _reliability,
    "precision_recall": _precision_recall,
    "gain": _gain,
    "roc": _roc,
}
