"""Held-out predictions of cells and cutoffs -> the data of the page's map: outlines, risk, events, reasons."""

from base64 import b64encode
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model import cells as h3cells
from pipeline.report.drivers import Reasons
from pipeline.runtime.local_days import days_of

WIDTH = 4000
"""Of the drawing, in its own units."""
LOG_ODDS = 15.0
"""Log-odds are kept as 16 bits from -15 to 15: steps of 0.0005."""
REASON_STEP = 0.05
"""Log-odds that one step of a reason's eight bits stands for."""
REASONS_SHOWN = 3


def risk_map(held_out: pa.Table, reasons: Reasons | None, *, horizon_days: int, zone: str) -> dict[str, Any]:
    """Return the map as JSON data.

    Parameters
    ----------
    held_out
        As `train` wrote it: sorted by cutoff and cell, every cell at every cutoff.
    reasons
        Of the same rows; None where the bundle gives none.
    horizon_days
        Of the model.
    zone
        Of the cutoffs: the map names each by the day that begins at it.

    Returns
    -------
    dict
        ``cutoffs`` and ``cells`` (ids), ``outlines`` (x and y of each cell's corners, in turn), ``width`` and
        ``height`` of the drawing; base64 of one entry a cutoff and cell, cells fastest: ``risk`` (little-endian uint16)
        and ``events`` (uint8, 1 where an event followed within the horizon); ``reasons`` (for each entry
        `REASONS_SHOWN` pairs of uint8: index into ``groups``, steps above 128).
    """
    moments = pc.unique(held_out["cutoff"])
    cells = pc.unique(held_out["cell"]).to_pylist()
    outlines, height = _outlines(cells)
    scaled = (np.clip(held_out["log_odds"].to_numpy(), -LOG_ODDS, LOG_ODDS) + LOG_ODDS) / (2 * LOG_ODDS)
    data: dict[str, Any] = {
        "horizon_days": horizon_days,
        "cutoffs": days_of(moments.to_numpy(), zone).astype(str).tolist(),
        "cells": cells,
        "outlines": outlines,
        "width": WIDTH,
        "height": height,
        "risk": _base64(np.round(scaled * 65535).astype("<u2")),
        "events": _base64((held_out["label"].to_numpy() == 1).astype(np.uint8)),
    }
    if reasons is not None:
        data |= {"groups": list(reasons.groups), "reasons": _base64(_strongest(reasons.added))}
    return data


def _outlines(cells: list[str]) -> tuple[list[list[int]], int]:
    """Return each cell's corners on a plane that is true to scale at the theatre's middle, and the plane's height."""
    corners = h3cells.outlines(cells)
    (west, south), (east, north) = (np.concatenate(corners).min(axis=0), np.concatenate(corners).max(axis=0))
    narrowing = float(np.cos(np.radians((south + north) / 2)))
    scale = WIDTH / ((east - west) * narrowing)
    placed = [
        np.column_stack([(c[:, 0] - west) * narrowing * scale, (north - c[:, 1]) * scale]).round().astype(int)
        for c in corners
    ]
    return [outline.ravel().tolist() for outline in placed], int(np.ceil((north - south) * scale))


def _strongest(added: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return (rows, shown, 2): the groups of features that move each row most, and by how many steps above 128."""
    first = np.argsort(-np.abs(added), axis=1, kind="stable")[:, :REASONS_SHOWN]
    steps = np.clip(np.round(np.take_along_axis(added, first, axis=1) / REASON_STEP), -127, 127) + 128
    return np.stack([first, steps], axis=2).astype(np.uint8)


def _base64(values: npt.NDArray[Any]) -> str:
    return b64encode(values.tobytes()).decode()
