"""``python -m pipeline.tracking DATASET`` records all that is not recorded yet; ``--serve`` shows MLflow's pages."""

import argparse
import os
import sys

from pipeline.runtime import cli
from pipeline.tracking.connection import connect, uri
from pipeline.tracking.runs import record_pipeline

PORT = 5000


def main() -> None:
    """Record a pipeline run, or serve."""
    arguments = argparse.ArgumentParser(prog="python -m pipeline.tracking", description=record_pipeline.__doc__)
    arguments.add_argument("dataset", nargs="?", help="record this dataset's models")
    arguments.add_argument("--serve", action="store_true", help=f"browse the runs on http://127.0.0.1:{PORT}")
    given = arguments.parse_args()
    if given.serve:
        serve()
    if given.dataset is None:
        arguments.error("name a dataset, or --serve")
    record_pipeline(given.dataset)


def serve() -> None:
    """Show the runs in MLflow's own pages, on this machine only, until interrupted."""
    client = connect()
    client.search_experiments(max_results=1)  # makes or migrates the database before the server asks for it
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri(), "--host", "127.0.0.1"]
    os.execv(command[0], [*command, "--port", str(PORT), "--workers", "1"])


if __name__ == "__main__":
    cli.run(main)
