"""Make data/raw and data/truth of one dataset: from the mirror, or by simulation."""

import os
from pathlib import Path

from pipeline import params
from pipeline.acquire import mirror
from pipeline.acquire.copy import copy_checked
from pipeline.runtime import cli
from pipeline.runtime.errors import StageError
from pipeline.simulate.write import write_theatre
from pipeline.storage import store
from pipeline.storage.paths import DatasetPaths


def main() -> None:
    """Read the command line and acquire one dataset."""
    arguments = cli.parser("pipeline.acquire", "Bring in the files of a dataset, checked.", model=False).parse_args()
    declared = params.load()
    dataset = declared.dataset(arguments.dataset)
    paths = DatasetPaths(arguments.dataset)
    # both folders appear whole, or stay as they were
    with store.replacing_folder(paths.raw) as raw, store.replacing_folder(paths.truth) as truth:
        if dataset.simulated:
            write_theatre(declared.simulate, dataset, raw=raw, truth=truth)
        else:
            cut = declared.run.cut if declared.run.dataset == arguments.dataset else "none"
            _from_mirror(mirror.files_of(dataset), raw, cut=cut)
        store.write_json({"known": dataset.simulated}, truth / "known.json")
        digests = {p.relative_to(raw).as_posix(): _hex_digest(p) for p in raw.rglob("*") if p.is_file()}
        (raw / mirror.LIST).write_text(mirror.as_list(digests), encoding="utf-8")
    print(f"acquire: {len(digests)} files in {paths.raw}")


def _from_mirror(files: list[str], raw: Path, *, cut: str) -> None:
    folder = os.environ.get("DATA_MIRROR")
    if not folder:
        raise StageError(
            f"DATA_MIRROR is not set; expected the folder that holds {files[0]} and {len(files) - 1} more files, with "
            f"their digests in its {mirror.LIST}. Run: make DATASET=<name> DATA_MIRROR=<folder>"
        )
    digests = mirror.listed(Path(folder), files)
    got = mirror.cut_of(digests)
    if cut not in ("none", got):
        raise StageError(
            f"params.yaml: run.cut is {cut}, but {folder} has the cut {got}: the mirror's files are not those that "
            "were chosen. Choose again with make DATASET=<name> DATA_MIRROR=<folder>, or point DATA_MIRROR at the "
            "chosen cut."
        )
    copy_checked(Path(folder), raw, digests)


def _hex_digest(path: Path) -> str:
    return store.digest(path).removeprefix("sha256:")


if __name__ == "__main__":
    cli.run(main)
