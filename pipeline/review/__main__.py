"""``python -m pipeline.review key|compare|promote|rollback|history``: what goes to the field, who decided, and why."""

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from pipeline import params, tracking
from pipeline.review import decide, ledger, registry, reviewers
from pipeline.review.gate import Verdict
from pipeline.review.ledger import Entry
from pipeline.runtime import cli


def main() -> None:
    """Run the reviewer's command."""
    given = _parser().parse_args()
    if given.command == "key":
        public = reviewers.make_key(given.name)
        print(f"{public}: public key; keep it in git. The private half is in {reviewers.private_keys()}")
        return
    dataset = given.dataset or params.load().run.dataset
    if given.command == "compare":
        compared = decide.compare(dataset, given.model)
        _print_verdict(compared.verdict, _heading(compared))
        sys.exit(0 if compared.verdict.passed else 1)
    if given.command == "promote":
        compared = decide.compare(dataset, given.model)
        _print_verdict(compared.verdict, _heading(compared))
        _print_entry(decide.promote(compared, by=given.by, override=given.override))
    if given.command == "rollback":
        _print_entry(decide.rollback(dataset, given.model, by=given.by, reason=given.reason))
    if given.command == "history":
        _history(given.on, given.dataset, given.model)


def _history(on: date | None, dataset: str | None, model: str | None) -> None:
    client = tracking.connect()
    entries = ledger.read(registry.anchors(client))
    for line in registry.reconcile(client, ledger.in_field(entries).values()):
        print(line, file=sys.stderr)
    selected = [
        entry
        for entry in entries
        if dataset in (None, entry.decision.dataset) and model in (None, entry.decision.model)
    ]
    if on is None:
        _print_entries(selected)
        _print_in_field(entries, ledger.in_field(selected).values())
    else:
        start = datetime.combine(on, time(), UTC)
        print(f"In the field when {on} began (UTC):")
        _print_entries(ledger.in_field(selected, at=start).values())
        print(f"Decided on {on}:")
        _print_entries(entry for entry in selected if start < entry.decision.moment < start + timedelta(days=1))
    print(f"{len(entries)} decisions in {ledger.LEDGER}, all signed and in their places")


def _print_entries(entries: Iterable[Entry]) -> None:
    listed = list(entries)
    for entry in listed:
        _print_entry(entry)
    if not listed:
        print("     nothing")


def _print_in_field(entries: list[Entry], current: Iterable[Entry]) -> None:
    for entry in current:
        placed, before = entry.decision, decide.earlier(entries, entry)
        back = f"{before.decision.model_digest[7:15]}, of decision {before.number}" if before else "nothing"
        print(
            f"in the field now: {placed.model} of {placed.dataset}: {placed.model_digest[7:15]}, since {placed.at}; "
            f"a rollback would put back {back}"
        )


def _heading(compared: decide.Comparison) -> str:
    champion = compared.champion.decision.model_digest[7:15] if compared.champion else "nothing"
    challenger = compared.challenger
    return f"{challenger.model} of {challenger.dataset}: challenger {challenger.digest[7:15]}, in the field: {champion}"


def _print_verdict(verdict: Verdict, heading: str) -> None:
    print(heading)
    width = max(len(finding.rule) for finding in verdict.findings)
    for finding in verdict.findings:
        result = "holds" if finding.holds else "FAILS"
        print(f"  {result}  {finding.rule:<{width}}  {finding.got}  (expected: {finding.expected})")
    print("verdict: fit for the field" if verdict.passed else f"verdict: not fit; fails {len(verdict.broken)} rules")


def _print_entry(entry: Entry) -> None:
    decision = entry.decision
    instead = f" instead of {decision.replaces[7:15]}" if decision.replaces else ""
    print(
        f"  {entry.number:>4}  {decision.at}  {decision.action:<8}  {decision.model} of {decision.dataset}: "
        f"{decision.model_digest[7:15]}{instead}, by {decision.by}"
    )
    if decision.reason:
        print(f"        reason: {decision.reason}")
    broken = [finding["rule"] for finding in decision.verdict if not finding["holds"]]
    if broken:
        print(f"        fails: {'; '.join(broken)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.review", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser("key", help="make a reviewer's key pair")
    key.add_argument("name", help="of the reviewer")
    compare = commands.add_parser("compare", help="the gate's verdict, rule by rule; status 1 where it is no")
    promote = commands.add_parser("promote", help="put the model in the working folder into the field")
    promote.add_argument("--override", metavar="REASON", help="although the gate says no; shown for ever")
    rollback = commands.add_parser("rollback", help="put back what was in the field before")
    rollback.add_argument("--reason", required=True)
    history = commands.add_parser("history", help="verify the ledger and print it")
    history.add_argument(
        "--on", type=date.fromisoformat, metavar="DATE", help="what was in the field on that day (UTC)"
    )
    for command in (compare, promote, rollback, history):
        command.add_argument("--dataset", help="an entry of `datasets` in params.yaml; default: run.dataset")
        command.add_argument("--model", help="such as area_risk_28d", required=command is not history, default=None)
    for command in (promote, rollback):
        command.add_argument("--by", required=True, metavar="NAME", help="the reviewer, whose key signs")
    return parser


if __name__ == "__main__":
    cli.run(main)
