"""Counts of what became of every record -> the stage's metrics, and a table for people."""

from typing import Any

_COLUMNS = ("rows_in", "kept", "merged", "quarantined")


def summary(counts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the metrics of the stage: each source's counts and their sum."""
    return {"sources": counts, "total": {name: sum(c[name] for c in counts.values()) for name in _COLUMNS}}


def as_text(counts: dict[str, dict[str, Any]]) -> str:
    """Return the counts as a table, a line a source, with the rules that refused rows."""
    width = max([len("source"), *map(len, counts)])
    lines = [
        f"{'source':{width}}  {'table':12} {'rows in':>9} = {'kept':>9} + {'merged':>7} + {'quarantined':>11}  rules"
    ]
    for name, c in [*counts.items(), ("total", {"table": "", "rules": {}, **summary(counts)["total"]})]:
        rules = ", ".join(f"{rule} {count:,}" for rule, count in c["rules"].items())
        lines.append(
            f"{name:{width}}  {c['table']:12} {c['rows_in']:9,} = {c['kept']:9,} + {c['merged']:7,} + "
            f"{c['quarantined']:11,}  {rules}".rstrip()
        )
    return "\n".join(lines)
