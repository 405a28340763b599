"""What only the evaluation of a sensor model has -> tables of the page of results, as Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.model.provenance import ORACLE, SHIPPED

BASE_RATE = "base_rate"

METRICS = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "log_loss": "log-loss", "brier": "Brier", "ece": "ECE"}
DETECTION = {"pd_at_far": "PD at {:.0%} of the clutter", "pd_at_alarms_per_m2": "PD at {:g} false alarms per m²"}
"""Probabilities of detection by rate of false alarms, and the heading for a rate."""


def sensor_tables(found: Mapping[str, Any]) -> list[str]:
    """Return the lines of the tables; none for a comparison that has nothing of the kind.

    Parameters
    ----------
    found
        One comparison of an evaluation: ``without`` and ``random_split`` hold skill of the shipped model on the same
        alarms, ``fusion`` that of sensor and place together; ``intervals`` and ``novelty`` what became of promises.
    """
    lines: list[str] = []
    if "random_split" in found:
        whole = "random groups held out: **flattering**" if "repeated" in found else "whole groups held out"
        shown = {whole: found["models"][SHIPPED]}
        shown |= {f"the same, without {name}": skill for name, skill in found["without"].items()}
        shown |= {"random split: **flattering**": found["random_split"]["skill"][SHIPPED]}
        lines += [*_table("lightgbm, with 95 % intervals over groups", shown), ""]
        ours = {name: found["models"][name] for name in found["models"] if name != BASE_RATE}
        lines += [
            *_detection(ours, {"lightgbm, random split: **flattering**": found["random_split"]["skill"][SHIPPED]}),
            "",
        ]
    if "repeated" in found:
        lines += [*_repeated(found["repeated"]), ""]
    if "intervals" in found:
        lines += [*_intervals(found["intervals"], groups=found["groups"]), ""]
    if "novelty" in found:
        lines += [*_novelty(found["novelty"]), ""]
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


def _detection(models: Mapping[str, Mapping[str, Any]], more: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    rates = [(kind, rate) for kind in DETECTION for rate in models[SHIPPED].get(kind, {})]
    headings = [DETECTION[kind].format(float(rate)) for kind, rate in rates]
    yield f"| probability of detection | {' | '.join(headings)} |"
    yield "| --- |" + " ---: |" * len(rates)
    for name, skill in {**models, **more}.items():
        shown = [_with_interval(skill[kind][rate], skill["intervals"][f"{kind}_{rate}"]) for kind, rate in rates]
        yield f"| {name} | {' | '.join(shown)} |"


def _repeated(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"| lightgbm, {found['repeats']} times parted at random into five | accuracy | spread of the times |"
    yield "| --- | ---: | ---: |"
    yield f"| no groups are known: **flattering** | {found['accuracy']:.4f} | {found['spread']:.4f} |"


def _intervals(found: Mapping[str, Any], *, groups: int) -> Iterator[str]:
    columns = {
        "mean width": f"{found['mean_width']:.3f}",
        "tenths of the alarms held": f"{found['bins_held']:.0%}",
        f"of {groups} groups held": f"{found['groups_held']:.0%}",
    }
    if "oracle_held" in found:
        oracle = found["oracle_held"]
        columns["true probability held"] = _with_interval(oracle["value"], oracle)
    yield f"| interval meant for {found['level']:.0%} of new groups | {' | '.join(columns)} |"
    yield "| --- |" + " ---: |" * len(columns)
    yield f"| in groups held out | {' | '.join(columns.values())} |"


def _novelty(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"| called unlike the training; meant for {found['false_flags_limit']:.1%} | share | share, or out of range |"
    yield "| --- | ---: | ---: |"
    flags = found["false_flags"]
    yield f"| as measured, in groups held out | {_with_interval(flags['value'], flags)} | |"
    yield f"| the same, worst group | {found['worst_group']:.3f} | |"
    for kind, shares in found["perturbed"].items():
        novel = _with_interval(shares["novel"]["value"], shares["novel"])
        yield f"| {kind} | {novel} | {shares['novel_or_out_of_range']:.3f} |"


def _with_interval(value: float, interval: Mapping[str, float]) -> str:
    """Return a number and its interval.

    Examples
    --------
    >>> _with_interval(0.92578, {"low": 0.887, "high": 0.97312})
    '0.926 [0.887, 0.973]'
    """
    return f"{value:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
