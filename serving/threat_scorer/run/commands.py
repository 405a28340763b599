"""The subcommands ``run`` and ``status``: the path of a configuration -> an exit status."""

import sys
from pathlib import Path

from threat_scorer.errors import ConfigError
from threat_scorer.run.config.reading import read_config
from threat_scorer.run.monitoring.health import read_status
from threat_scorer.run.outbox.entries import OutboxError
from threat_scorer.run.process import run as run_process

GOOD, DEGRADED, UNUSABLE = 0, 1, 2
EXIT_STATUSES = {"working": GOOD, "quiet": GOOD, "degraded": DEGRADED, "wedged": UNUSABLE, "stopped": UNUSABLE}


def run(path: Path) -> int:
    """Run the process that the configuration describes."""
    try:
        return run_process(read_config(path))
    except (ConfigError, OutboxError) as error:
        print(f"threat-scorer: {error}", file=sys.stderr)
        return UNUSABLE


def status(path: Path) -> int:
    """Print the condition of the process that the configuration describes, and every check."""
    try:
        result = read_status(read_config(path).status_file)
    except ValueError as error:
        print(f"threat-scorer: {error}", file=sys.stderr)
        return UNUSABLE
    print(result.condition)
    for check in result.checks:
        print(f"  {check.level:<8} {check.name:<16} {check.message}")
    return EXIT_STATUSES[result.condition]
