"""What was measured of a model, its files and its held-out rows -> every plot, as points and as a picture."""

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
    table
        What `features` wrote; the rows of which `held_out` speaks are among them.
    held_out, booster, fit
        What `train` wrote.
    named
        The model and the dataset, for the titles.
    seed
        Of the rows that are drawn for what moves the model.
    """
    key = "cutoff" if "cutoff" in held_out.column_names else "detection_id"
    spoken_of = table.filter(pc.is_in(table[key], value_set=pc.unique(held_out[key])))
    some = driver_points.drawn(spoken_of, seed=seed)
    plots = {name: (points, found.measured_on) for name, points in found.plots.items()}
    rows = f"what moves the shipped model; n = {some.num_rows:,} of the {spoken_of.num_rows:,} rows held out"
    plots |= {name: (points, rows) for name, points in driver_points.plots(some, booster, fit).items()}
    if fit.horizon_days is not None:
        maps = map_points.points(held_out, horizon_days=fit.horizon_days, zone=zone_of(table.schema))
        plots["risk_maps"] = (maps, "risk at three cutoffs, by the model that knew no more, and what followed")
    marked = fit.marking.written + ("; SIMULATED DATA" if simulated else "")
    for name, (points, of) in plots.items():
        store.write_csv(points, folder / f"{name}.csv")
        store.write_bytes(figure.draw(name, points, title=f"{named}: {of}", marked=marked), folder / f"{name}.png")
