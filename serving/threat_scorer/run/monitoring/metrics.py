"""Counts and checks of the running scorer -> Prometheus' text format."""

from collections.abc import Iterator

from threat_scorer.run.monitoring.health import Checks

LEVELS = {"ok": 0, "warning": 1, "failure": 2}


def to_prometheus(checks: Checks) -> str:
    """Return all metrics, in text format 0.0.4."""
    return "".join(f"{line}\n" for line in _lines(checks))


def _lines(checks: Checks) -> Iterator[str]:
    counters, queue, outbox = checks.counters, checks.queue, checks.outbox
    counts = outbox.counts()
    yield from _metric("records_total", "counter", "Lines that came in since the start, by result.")
    results = {"scored": counters.scored, "rejected": counters.rejected}
    results |= {"turned_away": counters.turned_away, "overload": queue.refused}
    for result, count in results.items():
        yield f'threat_scorer_records_total{{result="{result}"}} {count}'
    yield from _metric("queue_records", "gauge", "Lines that await their score.")
    yield f"threat_scorer_queue_records {len(queue)}"
    yield from _metric("outbox_records", "gauge", "Records that await delivery.")
    yield f"threat_scorer_outbox_records {outbox.depth}"
    yield from _metric("outbox_bytes", "gauge", "Their size.")
    yield f"threat_scorer_outbox_bytes {outbox.bytes}"
    yield from _metric("outbox_dropped_total", "counter", "Records dropped at the limit, since the outbox was made.")
    yield f"threat_scorer_outbox_dropped_total {counts['dropped']}"
    yield from _metric("delivered_total", "counter", "Records delivered since the start.")
    for delivery in checks.deliveries:
        yield f'threat_scorer_delivered_total{{output="{_escaped(delivery.name)}"}} {delivery.sent}'
    yield from _metric("latency_seconds", "gauge", "Seconds from read to stored, of the last records.")
    for share in (0.5, 0.99):
        if (latency := counters.latency_s(share)) is not None:
            yield f'threat_scorer_latency_seconds{{quantile="{share}"}} {latency:.6f}'
    yield from _metric("check", "gauge", "0 ok, 1 warning, 2 failure.")
    for check in checks.all():
        yield f'threat_scorer_check{{name="{_escaped(check.name)}"}} {LEVELS[check.level]}'


def _metric(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP threat_scorer_{name} {meaning}"
    yield f"# TYPE threat_scorer_{name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
