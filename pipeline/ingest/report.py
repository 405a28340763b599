"""Counts of what became of every record -> the stage's metrics, and a table for people."""

from typing import Any

_COLUMNS = ("rows_in", "kept", "merged", "quarantined")


def summary(counts: dict[str, dict[str, Any]], linked: dict[str, int] | None) -> dict[str, Any]:
    """Return the metrics of the stage: each source's counts, their sum, and what linkage joined where it is on."""
    total = {name: sum(c[name] for c in counts.values()) for name in _COLUMNS}
    return {"sources": counts, "total": total, **({"linkage": linked} if linked is not None else {})}


def as_text(found: dict[str, Any]) -> str:
    """Return the summary as a table, a line a source, with the rules that refused rows."""
    counts = found["sources"]
    width = max([len("source"), *map(len, counts)])
    lines = [
        f"{'source':{width}}  {'table':12} {'rows in':>9} = {'kept':>9} + {'merged':>7} + {'quarantined':>11}  rules"
    ]
    for name, c in [*counts.items(), ("total", {"table": "", "rules": {}, **found["total"]})]:
        rules = ", ".join(f"{rule} {count:,}" for rule, count in c["rules"].items())
        lines.append(
            f"{name:{width}}  {c['table']:12} {c['rows_in']:9,} = {c['kept']:9,} + {c['merged']:7,} + "
            f"{c['quarantined']:11,}  {rules}".rstrip()
        )
    if linked := found.get("linkage"):
        lines.append(
            f"{linked['links']:,} links: {linked['reports_joined']:,} reports are of {linked['events']:,} events "
            f"(merges.parquet); {linked['versions_completed']:,} versions completed from another report"
        )
    return "\n".join(lines)
