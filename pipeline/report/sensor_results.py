"""Results that only a sensor model has -> tables of the page of results, as Markdown."""

from collections.abc import Iterator, Mapping

from pipeline.model.skill_records import (
    BASE_RATE,
    ORACLE,
    SHIPPED,
    Comparison,
    Estimate,
    Interval,
    IntervalSkill,
    NoveltySkill,
    RepeatedSplit,
    Skill,
)

METRICS = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "log_loss": "log-loss", "brier": "Brier", "ece": "ECE"}
DETECTION = {"pd_at_far": "PD at {:.0%} of the clutter", "pd_at_alarms_per_m2": "PD at {:g} false alarms per m²"}
"""Probabilities of detection by rate of false alarms, and the heading for a rate."""


def sensor_tables(comparison: Comparison) -> list[str]:
    """Return the lines of the tables; none for a comparison that has nothing of the kind."""
    lines: list[str] = []
    if comparison.random_split is not None:
        at_random = comparison.random_split.skill[SHIPPED]
        title = "random groups held out: **flattering**" if comparison.repeated else "whole groups held out"
        shown = {title: comparison.shipped}
        shown |= {f"the same, without {name}": skill for name, skill in (comparison.without or {}).items()}
        shown |= {"random split: **flattering**": at_random}
        lines += [*_table("lightgbm, with 95 % intervals over groups", shown), ""]
        models = {name: skill for name, skill in comparison.models.items() if name != BASE_RATE}
        lines += [*_detection(models | {"lightgbm, random split: **flattering**": at_random}), ""]
    if comparison.repeated is not None:
        lines += [*_repeated(comparison.repeated), ""]
    if comparison.intervals is not None:
        lines += [*_intervals(comparison.intervals, groups=comparison.groups or 0), ""]
    if comparison.novelty is not None:
        lines += [*_novelty(comparison.novelty), ""]
    if comparison.fusion is not None:
        models = comparison.fusion.models
        shown = {name: models[name] for name in ("fused", "sensor", "prior", ORACLE)}
        lines += [*_table("sensor and place, the place's prior known for certain", shown), ""]
    return lines


def rates_of(skill: Skill, kind: str) -> dict[str, float]:
    """Return probabilities of detection by rate of false alarms, `kind` being one of `DETECTION`."""
    rates: dict[str, float] | None = getattr(skill, kind)
    return rates or {}


def _table(title: str, shown: Mapping[str, Skill]) -> Iterator[str]:
    yield f"| {title} | {' | '.join(METRICS.values())} |"
    yield "| --- |" + " ---: |" * len(METRICS)
    for name, skill in shown.items():
        numbers = [_with_interval(getattr(skill, metric), _interval_of(skill, metric)) for metric in METRICS]
        yield f"| {name} | {' | '.join(numbers)} |"


def _detection(models: Mapping[str, Skill]) -> Iterator[str]:
    rates = [(kind, rate) for kind in DETECTION for rate in rates_of(models[SHIPPED], kind)]
    headings = [DETECTION[kind].format(float(rate)) for kind, rate in rates]
    yield f"| probability of detection | {' | '.join(headings)} |"
    yield "| --- |" + " ---: |" * len(rates)
    for name, skill in models.items():
        shown = [
            _with_interval(rates_of(skill, kind)[rate], _interval_of(skill, f"{kind}_{rate}")) for kind, rate in rates
        ]
        yield f"| {name} | {' | '.join(shown)} |"


def _repeated(split: RepeatedSplit) -> Iterator[str]:
    yield f"| lightgbm, {split.repeats} times parted at random into five | accuracy | spread of the times |"
    yield "| --- | ---: | ---: |"
    yield f"| no groups are known: **flattering** | {split.accuracy:.4f} | {split.spread:.4f} |"


def _intervals(skill: IntervalSkill, *, groups: int) -> Iterator[str]:
    columns = {
        "mean width": f"{skill.mean_width:.3f}",
        "tenths of the alarms held": f"{skill.bins_held:.0%}",
        f"of {groups} groups held": f"{skill.groups_held:.0%}",
    }
    if skill.oracle_held is not None:
        columns["true probability held"] = _with_interval(skill.oracle_held.value, skill.oracle_held)
    yield f"| interval meant for {skill.level:.0%} of new groups | {' | '.join(columns)} |"
    yield "| --- |" + " ---: |" * len(columns)
    yield f"| in groups held out | {' | '.join(columns.values())} |"


def _novelty(skill: NoveltySkill) -> Iterator[str]:
    limit = f"meant for {skill.false_flags_limit:.1%}"
    yield f"| called unlike the training; {limit} | share | share, or out of range |"
    yield "| --- | ---: | ---: |"
    yield f"| as measured, in groups held out | {_with_interval(skill.false_flags.value, skill.false_flags)} | |"
    yield f"| the same, worst group | {skill.worst_group:.3f} | |"
    for kind, share in skill.perturbed.items():
        novel = _with_interval(share.novel.value, share.novel)
        yield f"| {kind} | {novel} | {share.novel_or_out_of_range:.3f} |"


def _interval_of(skill: Skill, metric: str) -> Interval:
    return (skill.intervals or {})[metric]


def _with_interval(value: float, interval: Interval | Estimate) -> str:
    """Return a number and its interval.

    Examples
    --------
    >>> _with_interval(0.92578, Interval(low=0.887, high=0.97312))
    '0.926 [0.887, 0.973]'
    """
    return f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
