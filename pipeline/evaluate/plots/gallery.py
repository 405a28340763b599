"""A model's evaluation, its files and its held-out rows -> every plot, as points and as a picture."""

from pathlib import Path

import lightgbm
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.plots import driver_points, figure, map_points
from pipeline.model.fit_record import AnyFitRecord
from pipeline.runtime.local_days import zone_of
from pipeline.storage import store


def write(
    folder: Path,
    found: Evaluation,
    table: pa.Table,
    held_out: pa.Table,
    booster: lightgbm.Booster,
    fit: AnyFitRecord,
    *,
    named: str,
    simulated: bool,
    seed: int,
) -> None:
    """Write each plot into a folder, as CSV and as PNG.

    Parameters
    ----------
    folder, found
        Where to write, and what was measured.
    table
        What `features` wrote; it contains the rows of `held_out`.
    held_out, booster, fit
        What `train` wrote.
    named
        The model and the dataset, for the titles.
    simulated
        Whether the theatre is: then each picture says so.
    seed
        Of the rows that are drawn for what moves the model.
    """
    key = "cutoff" if "cutoff" in held_out.column_names else "detection_id"
    rows = table.filter(pc.is_in(table[key], value_set=pc.unique(held_out[key])))
    drawn = driver_points.drawn(rows, seed=seed)
    plots = {name: (points, found.measured_on) for name, points in found.plots.items()}
    drivers = f"what moves the shipped model; n = {drawn.num_rows:,} of the {rows.num_rows:,} rows held out"
    plots |= {name: (points, drivers) for name, points in driver_points.plots(drawn, booster, fit).items()}
    if fit.horizon_days is not None:
        maps = map_points.points(held_out, horizon_days=fit.horizon_days, zone=zone_of(table.schema))
        plots["risk_maps"] = (maps, "risk at three cutoffs, by the model that knew no more, and what followed")
    marked = fit.marking.written + ("; SIMULATED DATA" if simulated else "")
    for name, (points, of) in plots.items():
        store.write_csv(points, folder / f"{name}.csv")
        store.write_bytes(figure.draw(name, points, title=f"{named}: {of}", marked=marked), folder / f"{name}.png")
