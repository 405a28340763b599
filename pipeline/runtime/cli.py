"""A stage's main -> a process; a user's mistake ends it with a clear line, not a traceback."""

import argparse
import os
import sys
from collections.abc import Callable

from threadpoolctl import threadpool_limits

from pipeline.runtime.errors import DeclarationError, StageError


def run(main: Callable[[], None]) -> None:
    """Run `main`; end with status 2 and the message alone when the input, not the program, is at fault.

    Linear algebra has one thread: the same sums in the same order on any number of cores. One thread is also faster
    where another program takes a core. OpenBLAS's threads then wait for each other: a fit took forty times as long.
    """
    try:
        with threadpool_limits(1, user_api="blas"):
            main()
    except (StageError, DeclarationError) as error:
        print(f"{error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # the reader of our output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def parser(package: str, purpose: str, *, model: bool) -> argparse.ArgumentParser:
    """Return the argument parser that every stage shares: ``--dataset``, and ``--model`` for a stage of one model.

    Parameters
    ----------
    package
        As it is started: ``pipeline.train``.
    purpose
        One line for ``--help``.
    model
        Whether the stage is of one model.
    """
    arguments = argparse.ArgumentParser(prog=f"python -m {package}", description=purpose)
    arguments.add_argument("--dataset", required=True, help="an entry of `datasets` in params.yaml")
    if model:
        arguments.add_argument("--model", required=True, help="one of the dataset's, such as area_risk_28d")
    return arguments
