"""What only the evaluation of a sensor model has -> tables of the page of results, as Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.run_facts import ORACLE, SHIPPED

METRICS = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "log_loss": "log-loss", "brier": "Brier", "ece": "ECE"}


def sensor_tables(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of the tables; none for a comparison that has nothing of the kind.

    Parameters
    ----------
    found
        One comparison of an evaluation: ``without`` and ``random_split`` hold skill of the shipped model on the same
        alarms, ``fusion`` that of sensor and place together.
    """
    lines: list[str] = []
    if "random_split" in found:
        shown = {"whole groups held out": found["models"][SHIPPED]}
        shown |= {f"the same, without {name}": skill for name, skill in found["without"].items()}
        shown |= {"random split: **flattering**": found["random_split"]["skill"][SHIPPED]}
        lines += [*_table("lightgbm, with 95 % intervals over groups", shown), ""]
    if "fusion" in found:
        models = found["fusion"]["models"]
        shown = {name: models[name] for name in ("fused", "sensor", "prior", ORACLE)}
        lines += [*_table("sensor and place, the place's prior known for certain", shown), ""]
    return lines


def _table(title: str, shown: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"| {title} | {' | '.join(METRICS.values())} |"
    yield "| --- |" + " ---: |" * len(METRICS)
    for name, skill in shown.items():
        numbers = [_with_interval(skill[metric], skill["intervals"][metric]) for metric in METRICS]
        yield f"| {name} | {' | '.join(numbers)} |"


def _with_interval(value: float, interval: Mapping[str, float]) -> str:
    """Return a number and its interval.

    Examples
    --------
    >>> _with_interval(0.92578, {"low": 0.887, "high": 0.97312})
    '0.926 [0.887, 0.973]'
    """
    return f"{value:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
