"""The command line of the simulation: a theatre of any size, in any folder.

The default chain does not need it: `pipeline.acquire` makes the theatre that params.yaml describes.
"""

import dataclasses
from pathlib import Path

from pipeline import params
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError
from pipeline.simulate.scenario import SIZES
from pipeline.simulate.write import write_theatre
from pipeline.storage import store


def main() -> None:
    """Read the command line and write one theatre, its files apart from its truth."""
    arguments = cli.parser("pipeline.simulate", "Make a simulated theatre in a folder.", model=False)
    arguments.add_argument("--size", choices=list(SIZES), help="how large; as params.yaml says where not given")
    arguments.add_argument("--into", type=Path, required=True, help="folder that receives raw/ and truth/")
    given = arguments.parse_args()
    declared = params.load()
    dataset = declared.dataset(given.dataset)
    if not dataset.simulated:
        raise StageError(f"params.yaml: datasets.{given.dataset} is not simulated; expected one with simulated: true")
    simulate = dataclasses.replace(declared.simulate, size=given.size or declared.simulate.size)
    with store.replacing_folder(given.into / "raw") as raw, store.replacing_folder(given.into / "truth") as truth:
        write_theatre(simulate, dataset, raw=raw, truth=truth)
    print(f"simulate: a {simulate.size} theatre in {given.into}")


if __name__ == "__main__":
    cli.run(main)
