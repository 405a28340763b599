"""The report of `ingest` -> a table for people."""

from pipeline.storage.ingest_report import IngestReport


def as_text(report: IngestReport) -> str:
    """Return the report as a table: a line for each source, with the rules that rejected rows."""
    width = max([len("source"), *map(len, report.sources)])
    lines = [
        f"{'source':{width}}  {'table':12} {'rows in':>9} = {'kept':>9} + {'merged':>7} + {'quarantined':>11}  rules"
    ]
    for name, counts in report.sources.items():
        rules = ", ".join(f"{rule} {count:,}" for rule, count in counts.rules.items())
        lines.append(
            f"{name:{width}}  {counts.table:12} {counts.rows_in:9,} = {counts.kept:9,} + {counts.merged:7,} + "
            f"{counts.quarantined:11,}  {rules}".rstrip()
        )
    total, linkage = report.total, report.linkage
    lines.append(
        f"{'total':{width}}  {'':12} {total.rows_in:9,} = {total.kept:9,} + {total.merged:7,} + {total.quarantined:11,}"
    )
    if linkage is not None:
        lines.append(
            f"{linkage.links:,} links: {linkage.reports_joined:,} reports are of {linkage.events:,} events "
            f"(merges.parquet); {linkage.versions_completed:,} versions completed from another report"
        )
    return "\n".join(lines)
