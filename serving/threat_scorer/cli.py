"""The command ``threat-scorer``: score a stream, describe a bundle, and the commands of `device` and `run`."""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from threat_scorer.device import bundle_commands, slots
from threat_scorer.errors import BundleError, ScoringError
from threat_scorer.scoring.contract import Contract
from threat_scorer.scoring.scorer import Scorer
from threat_scorer.scoring.stream import Counts, score_stream

ALL_SCORED, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns
    -------
    int
        The exit status: 0 every line was scored, 1 some were not, 2 the bundle or the arguments cannot be used,
        130 broken off by Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    if sys.stdin is None or sys.stdout is None:  # closed by whoever started us
        print("threat-scorer: stdin or stdout is closed; expected both", file=sys.stderr)
        return UNUSABLE
    try:
        return COMMANDS[options.command](options)
    except (BundleError, ScoringError) as error:
        print(f"threat-scorer: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()  # the reader of our scores has left, as `| head` does
        return SOME_FAILED
    except OSError as error:
        _close_stdout()
        print(f"threat-scorer: cannot read or write on: {error.strerror}", file=sys.stderr)
        return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="threat-scorer",
        description="Score places and sensor alarms on this device. It sends nothing but what `run` is set to deliver.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser(
        "score",
        help="JSON Lines on stdin -> one score a line on stdout",
        description="One JSON object a line in, one out, in order. A line that cannot be scored gets an object with "
        "its line number and the error in its place. Exit status: 0 all scored, 1 some failed, 2 unusable bundle.",
    )
    info = commands.add_parser("info", help="what the bundle holds and what each model reads")
    bench = commands.add_parser("bench", help="how long a row takes on this device, and how much memory")
    bench.add_argument("--rows", type=int, default=5000, metavar="N", help="rows one after the other (default 5000)")
    bench.add_argument("--ticks", type=int, default=40, metavar="N", help="rows at one every 50 ms (default 40)")
    for command in (score, info, bench):
        meaning = "state folder of the device, or a folder of ONNX files that nobody signed"
        command.add_argument("--bundle", required=True, type=Path, metavar="DIR", help=meaning)
    score.add_argument("--model", required=True, help="name of a model in the bundle")
    run = commands.add_parser(
        "run",
        help="score what sensors send, without end, and deliver it",
        description="Run until SIGTERM, or the end of stdin where that is the only input. What was acknowledged is on "
        "disk, and is delivered after any outage. Exit status: 0 ended as asked, 2 cannot start, 70 a part failed.",
    )
    status = commands.add_parser(
        "status",
        help="whether `run` works, is quiet, degraded, wedged or stopped",
        description="Print one word and every check. Exit status: 0 working or quiet, 1 degraded, 2 wedged or stopped.",
    )
    for command in (run, status):
        command.add_argument("--config", required=True, type=Path, help="scorer.toml")
    bundle_commands.add_to(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is requested."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"threat-scorer {version('threat-scorer')}")
        parser.exit()


def _run(options: argparse.Namespace) -> int:
    from threat_scorer.run import commands

    return commands.run(options.config)


def _bench(options: argparse.Namespace) -> int:
    from threat_scorer.run.bench import bench

    bench(_load(options), rows=max(options.rows, 1), ticks=max(options.ticks, 0), write=print)
    return ALL_SCORED


def _status(options: argparse.Namespace) -> int:
    from threat_scorer.run import commands

    return commands.status(options.config)


def _load(options: argparse.Namespace) -> Scorer:
    return slots.open_bundle(
        options.bundle, now=datetime.now(UTC), warn=lambda why: print(f"threat-scorer: {why}", file=sys.stderr)
    )


def _score(options: argparse.Namespace) -> int:
    scorer = _load(options)
    model, counts = scorer.model(options.model), Counts()
    try:
        # os.read does not wait to fill a buffer: a live feed gets its scores at once
        score_stream(partial(os.read, sys.stdin.fileno()), _write, model=model, bundle=scorer.bundle, counts=counts)
    finally:
        print(f"threat-scorer: {counts.scored} scored, {counts.failed} failed", file=sys.stderr)
    return SOME_FAILED if counts.failed else ALL_SCORED


def _write(scores: bytes) -> None:
    sys.stdout.buffer.write(scores)
    sys.stdout.buffer.flush()


def _close_stdout() -> None:
    """Keep Python from writing once more at exit what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _info(options: argparse.Namespace) -> int:
    scorer = _load(options)
    print(f"bundle {scorer.bundle}")
    for contract in scorer.contracts.values():
        print("\n".join(_summary(contract)))
    return ALL_SCORED


def _summary(contract: Contract) -> list[str]:
    horizon = f"within {contract.horizon_days} days" if contract.horizon_days else "of the record itself"
    marking = contract.marking
    lines = [
        "",
        f"model {contract.model}: probability {horizon}; base rate {contract.base_rate:.3g}",
        f"  marking  {marking.originator}, releasable to {' '.join(marking.releasable_to)}, TLP:{marking.tlp}",
        f"  trained on {contract.training_data_digest}",
    ]
    if contract.simulated:
        lines.append("  SIMULATED: learnt from a simulated theatre; its scores mean nothing for a real one")
    lines += [f"  alarm at {point:.4g} ({name})" for name, point in contract.operating_points.items()]
    width = max(len(entry.name) for entry in contract.inputs)
    for entry in contract.inputs:
        need = "required" if entry.required else "optional"
        lines.append(f"  {entry.name:<{width}}  {need}  {entry.low:g} to {entry.high:g} {entry.unit}")
    return lines


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "score": _score,
    "info": _info,
    "run": _run,
    "status": _status,
    "bench": _bench,
    **bundle_commands.COMMANDS,
}

if __name__ == "__main__":
    sys.exit(main())
