"""The points of the plots -> pictures for MLflow and the report; the same points give the same bytes.

`draw` frames a picture. `draw_curves` compares models, `draw_drivers` shows what moves the model, and `draw_maps` shows
the risk and the events that followed. Colour-blind readers can distinguish the colours. Lines,
marks and hatches can be distinguished in print.
"""

import textwrap
from collections.abc import Callable
from functools import cache
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from pipeline.evaluate.plots import draw_curves, draw_drivers, draw_maps

mpl.use("agg")  # no screen is needed

SIZE = {"effects": (8.0, 5.5), "importance": (8.0, 5.5), "risk_maps": (12.0, 5.2)}
"""Inches, where a picture is larger than `USUAL`."""
USUAL = (6.0, 4.5)

DRAWN: dict[str, Callable[[Figure, pa.Table], None]] = {
    **draw_curves.DRAWN,
    "effects": draw_drivers.effects,
    "importance": draw_drivers.importance,
    "risk_maps": draw_maps.risk_maps,
}


def draw(name: str, points: pa.Table, *, title: str, marked: str) -> bytes:
    """Return a plot as PNG.

    Parameters
    ----------
    name
        Of the plot: a key of `DRAWN`.
    points
        As `curve_points`, `driver_points` or `map_points` made them.
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
    # a third of the bytes: the page contains all pictures
    with_palette = Image.open(drawn).convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE)
    with_palette.save(small, "png", optimize=True)
    return small.getvalue()


@cache
def _palette() -> Image.Image:
    """Return 254 colours that every picture is made of: the map's scale, greys, and each line's colour on white."""
    scale = 255 * mpl.colormaps["cividis"](np.linspace(0, 1, 128))[:, :3]
    # Pillow looks for the nearest in steps of four: a grey too near to white would take its place
    greys = np.repeat(np.append(np.linspace(0, 240, 55), 255)[:, None], 3, axis=1)
    lines = 255 * np.array([to_rgb(colour) for colour in (*draw_curves.COLOURS, draw_maps.RING)])
    strength = np.linspace(0.25, 1, 14)[:, None, None]
    faded = 255 * (1 - strength) + lines * strength
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([scale, greys, faded.reshape(-1, 3)]).round().astype(int).ravel().tolist())
    return palette
