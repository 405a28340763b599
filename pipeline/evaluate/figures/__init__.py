"""The points of the plots -> pictures for MLflow and the report; the same points give the same bytes.

`draw` frames a picture and chooses who fills it: `curves` (models against one another), `drivers` (what moves the
model) or `maps` (risk, and the events that followed). Colours are told apart by colour-blind readers, and lines, marks
and hatches in print.
"""

import textwrap
from collections.abc import Callable
from io import BytesIO

import matplotlib as mpl
import pyarrow as pa
from matplotlib.figure import Figure
from PIL import Image

from pipeline.evaluate.figures import curves, drivers, maps

mpl.use("agg")  # no screen is needed

SIZE = {"effects": (8.0, 5.5), "importance": (8.0, 5.5), "risk_maps": (12.0, 5.2)}
"""Inches, where a picture is larger than `USUAL`."""
USUAL = (6.0, 4.5)
COLOURS = 256

DRAWN: dict[str, Callable[[Figure, pa.Table], None]] = {
    **curves.DRAWN,
    "effects": drivers.effects,
    "importance": drivers.importance,
    "risk_maps": maps.risk_maps,
}


def draw(name: str, points: pa.Table, *, title: str, marked: str) -> bytes:
    """Return a plot as PNG.

    Parameters
    ----------
    name
        Of the plot: a key of `DRAWN`.
    points
        As `curves`, `drivers` or `risk_maps` made them.
    title
        What was measured, on how many rows.
    marked
        Who may see it, for the corner.
    """
    width, height = SIZE.get(name, USUAL)
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    DRAWN[name](figure, points)
    figure.suptitle(textwrap.fill(title, int(14 * width)), fontsize=9)
    figure.supxlabel(textwrap.fill(marked, int(17 * width)), fontsize=6.5, color="#555555", x=0.99, ha="right")
    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    # as many colours as can be told apart, in a third of the bytes: the page holds them all
    Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()
