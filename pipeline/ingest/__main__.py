"""Files of a dataset's partners -> data/tables, data/quarantine and reports/<dataset>/ingest.json."""

import sys

from pipeline import params
from pipeline.ingest import report, stage
from pipeline.ingest.commands import command_line
from pipeline.runtime import cli
from pipeline.storage import paths


def main() -> None:
    """Ingest a dataset, or run one of the commands beside."""
    if sys.argv[1:2] and not sys.argv[1].startswith("-"):
        command_line.main(sys.argv[1:])
        return
    dataset = cli.parser("pipeline.ingest", __doc__, model=False).parse_args().dataset
    settings = params.load()
    where = paths.DatasetPaths(dataset)
    linking = stage.linking_of(dataset, settings, sources=paths.SOURCES)
    done = stage.ingest(dataset, settings, sources=paths.SOURCES, raw=where.raw, staging=where.staging)
    print(report.as_text(stage.write(done, where, measured=settings.measured(dataset), linking=linking)))


if __name__ == "__main__":
    cli.run(main)
