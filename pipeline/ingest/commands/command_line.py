"""The arguments of ``check``, ``draft`` and ``retry`` -> the command, run and printed."""

import argparse
from pathlib import Path

from pipeline import params
from pipeline.ingest import report, stage
from pipeline.ingest.borders import border_of
from pipeline.ingest.commands import checking, draft
from pipeline.ingest.commands.retry import retry
from pipeline.ingest.mapping.mapping import read_mapping
from pipeline.ingest.rules.source import Source
from pipeline.params.datasets import WORLD
from pipeline.params.whole import Params
from pipeline.runtime.errors import DeclarationError
from pipeline.storage import paths


def main(arguments: list[str]) -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ingest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check_parser = commands.add_parser("check", help="show the rows that ingest would map and reject; write nothing")
    check_parser.add_argument("source", type=Path, help="the mapping, data/sources/<source>.yaml")
    check_parser.add_argument("file", type=Path, help="the partner's file")
    check_parser.add_argument(
        "--dataset", help="its bounds, sensors and gazetteers hold; not given, the first dataset that names the source"
    )
    draft_parser = commands.add_parser("draft", help="write a first mapping of a file, to be finished by hand")
    draft_parser.add_argument("file", type=Path, help="the partner's file")
    retry_parser = commands.add_parser("retry", help="map rejected rows again, after their mapping was mended")
    retry_parser.add_argument("--dataset", required=True, help="an entry of `datasets` in params.yaml")
    retry_parser.add_argument("--source", help="only this source; not given, all that have rejected rows")
    given = parser.parse_args(arguments)
    if given.command == "draft":
        print(draft.draft(given.file), end="")
    elif given.command == "check":
        print(checking.as_text(checking.check(source_of(given.source, given.dataset, params.load()), given.file)))
    else:
        retry_dataset(given.dataset, only=given.source)


def source_of(path: Path, dataset: str | None, settings: Params) -> Source:
    """Return a mapping with the settings of the named dataset, the first that names it, or the whole world.

    Parameters
    ----------
    path
        The mapping.
    dataset
        An entry of `datasets` in params.yaml, or None.
    settings
        All of params.yaml.

    Raises
    ------
    DeclarationError
        The mapping is wrong, or looks places up in a gazetteer that is not ingested.
    """
    name = path.stem
    dataset = dataset or next((key for key, entry in settings.datasets.items() if name in entry.sources), None)
    if dataset is None:
        measured = {name: column for modality in settings.modalities.values() for name, column in modality.items()}
        mapping = read_mapping(path, measured=measured)
        if mapping.gazetteer is not None:
            raise DeclarationError(
                f"{path}: position.place.source: {mapping.gazetteer!r} belongs to a dataset; name one by --dataset"
            )
        return Source(name, mapping, WORLD, measured, {})
    entry, measured = settings.dataset(dataset), settings.measured(dataset)
    where = paths.DatasetPaths(dataset)
    mapping = read_mapping(path, measured=measured)
    names = [mapping.gazetteer] if mapping.gazetteer is not None else []
    gazetteers = stage.ingested_gazetteers(names, where.staging)
    border = None if mapping.table == "places" else border_of(entry.theatre, sources=paths.SOURCES, raw=where.raw)
    return Source(name, mapping, entry.bounds, measured, gazetteers, border, entry.years)


def retry_dataset(dataset: str, *, only: str | None) -> None:
    """Retry the rejected rows of a dataset's sources and write its tables again."""
    settings = params.load()
    where = paths.DatasetPaths(dataset)
    done = {}
    sources = stage.in_place(dataset, settings, sources=paths.SOURCES, raw=where.raw, staging=where.staging)
    for source, staged in sources:
        done[source.name] = staged
        if only in (None, source.name):
            retried = retry(source, staged)
            if retried.tried:
                print(f"{source.name}: {retried.accepted:,} of {retried.tried:,} rejected rows fit now")
    if only is not None and only not in done:
        raise DeclarationError(f"{only}: not a source of {dataset} (known: {', '.join(sorted(done))})")
    linking = stage.linking_of(dataset, settings, sources=paths.SOURCES)
    written = stage.write(dict(sorted(done.items())), where, measured=settings.measured(dataset), linking=linking)
    print(report.as_text(written))
