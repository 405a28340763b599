"""A dataset's name -> the `run` section of params.yaml, from which DVC lays out its stages.

DVC lays out a stage for each dataset and model that params.yaml names under `run`. The stages of other datasets keep
their files and their entries in dvc.lock. So choosing one again recomputes nothing.
"""

import argparse
import os
import re
from pathlib import Path

from pipeline import params
from pipeline.acquire import mirror
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError
from pipeline.storage.paths import DatasetPaths

PARAMS = Path("params.yaml")


def choose(text: str, *, dataset: str, models: list[str], cut: str) -> str:
    r"""Return the text of params.yaml with the three values of `run` replaced, every other character as it was.

    Parameters
    ----------
    text
        Of params.yaml.
    dataset
        An entry of `datasets`.
    models
        Names of its models, in order.
    cut
        Digest of its list of files, or ``none``.

    Raises
    ------
    StageError
        One of the three lines is missing.

    Examples
    --------
    >>> text = "run:\n  dataset: simulated   # which\n  models: [sensor_threat]\n  cut: none\n"
    >>> print(choose(text, dataset="colombia", models=["area_risk_28d", "sensor_threat"], cut="none"), end="")
    run:
      dataset: colombia   # which
      models: [area_risk_28d, sensor_threat]
      cut: none
    """
    for key, value in {"dataset": dataset, "models": f"[{', '.join(models)}]", "cut": cut}.items():
        # `dvc exp run -S` writes a list with a line for each entry
        line = rf"(?m)^(run:\n(?:  .*\n)*?  {key}:)(?: \[.*?\]| \S+|(?:\n  - .*)+)"
        text, found = re.subn(line, rf"\g<1> {value}", text, count=1)
        if not found:
            raise StageError(f"{PARAMS}: run.{key} is missing; expected a line `  {key}: ...` under `run:`")
    return text


def cut_of(dataset: str) -> str:
    """Return the digest of the dataset's list of files: the mirror's where one is given, else of what was acquired.

    It is ``none`` for a simulated dataset, and where neither is at hand; `acquire` then says what is missing.
    """
    declared = params.load().dataset(dataset)
    if declared.simulated:
        return "none"
    if folder := os.environ.get("DATA_MIRROR"):
        return mirror.cut_of(mirror.listed(Path(folder), mirror.files_of(declared)))
    acquired = DatasetPaths(dataset).raw
    return mirror.cut_of(mirror.read_list(acquired)) if (acquired / mirror.LIST).exists() else "none"


def main() -> None:
    """Rewrite the choice in params.yaml, if it is another."""
    arguments = argparse.ArgumentParser(
        prog="python -m pipeline.select_dataset", description="Choose the dataset to run on."
    )
    arguments.add_argument("dataset", help="an entry of `datasets` in params.yaml")
    dataset = arguments.parse_args().dataset
    models = list(params.load(PARAMS).dataset(dataset).models)
    old = PARAMS.read_text(encoding="utf-8")
    new = choose(old, dataset=dataset, models=models, cut=cut_of(dataset))
    if new != old:
        PARAMS.write_text(new, encoding="utf-8")
        print(f"{PARAMS}: run is now {dataset}")


if __name__ == "__main__":
    cli.run(main)
