"""Evidence of the challenger and of the champion -> a verdict, rule by rule; the limits are `review` in params.yaml."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.model.skill_records import Comparison, Estimate, Skill
from pipeline.params import Review
from pipeline.review.evidence import Evidence
from pipeline.storage.schemas import TLP


@dataclass(frozen=True)
class Finding:
    """One rule, and whether the challenger keeps it."""

    rule: str
    holds: bool
    got: str
    expected: str


@dataclass(frozen=True)
class Rival:
    """The champion, as the challenger is compared with it."""

    evidence: Evidence
    rows: int
    """Held-out rows that the two share."""
    low: float
    """Lower end of the interval of the challenger's log-loss less the champion's, on those rows; so `value`, `high`."""
    value: float
    high: float


@dataclass(frozen=True)
class Used:
    """What the device's scorer used for one model, on the machine that measured."""

    row_ms: float
    """Median time of one row by itself, milliseconds, one thread."""
    session_mib: float
    """Most memory that loading the model and scoring added to that of the interpreter and its libraries."""


@dataclass(frozen=True)
class Verdict:
    """All findings of a challenger."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return all(finding.holds for finding in self.findings)

    @property
    def broken(self) -> list[str]:
        """Names of the rules that do not hold."""
        return [finding.rule for finding in self.findings if not finding.holds]


def judge(challenger: Evidence, rival: Rival | None, rules: Review, *, used: Used | None = None) -> Verdict:
    """Return the verdict over a challenger.

    Parameters
    ----------
    challenger
        All that the gate reads of it.
    rival
        None where nothing is in the field yet.
    rules
        The limits, from `review` in params.yaml.
    used
        Time and memory on a device. None, and no rule on it, where nobody measured them: the reviewers' page must be
        the same each time that it is made.
    """
    comparisons = challenger.metrics.comparisons
    findings = [Finding("evaluated", bool(comparisons), f"{len(comparisons)} comparisons", "at least one")]
    for part, compared in comparisons.items():
        findings += [_beats_baseline(part, name, d) for name, d in sorted(compared.against_baselines.items())]
        findings += _calibrated(part, compared.shipped, rules)
        findings += _nowhere_worse_than_baselines(part, compared, rules)
    if rival is not None:
        findings += _against(challenger, rival, rules)
    if used is not None:
        findings += _within_budget(used, rules)
    return Verdict((*findings, *_fit_for_the_field(challenger, rules)))


def _beats_baseline(part: str, name: str, difference: Estimate) -> Finding:
    got = _interval(difference.value, difference.low, difference.high)
    return Finding(f"{part}: better than {name}", difference.high < 0, got, "log-loss difference wholly below 0")


def _calibrated(part: str, skill: Skill, rules: Review) -> Iterator[Finding]:
    ece, ratio = skill.ece, skill.observed_over_expected
    low, high = rules.observed_over_expected
    yield Finding(f"{part}: calibrated", ece <= rules.ece_at_most, f"ECE {ece:.4f}", f"at most {rules.ece_at_most:g}")
    yield Finding(
        f"{part}: as many as expected",
        low <= ratio <= high,
        f"observed/expected {ratio:.2f}",
        f"{low:g} to {high:g}",
    )
    if (highest := skill.figure("observed_over_expected_1pct")) is not None:
        yield Finding(
            f"{part}: as many as expected where it warns most",
            low <= highest <= high,
            f"observed/expected {highest:.2f} in the highest 1 % of cells",
            f"{low:g} to {high:g}",
        )


def _nowhere_worse_than_baselines(part: str, compared: Comparison, rules: Review) -> Iterator[Finding]:
    for name, subgroup in compared.subgroups.items():
        best = subgroup.best_baseline
        difference = subgroup.shipped.log_loss - subgroup.models[best].log_loss
        yield _not_worse(f"{part}, {name}: not worse than {best}", difference, rules)


def _against(challenger: Evidence, rival: Rival, rules: Review) -> Iterator[Finding]:
    got = f"{_interval(rival.value, rival.low, rival.high)} on {rival.rows} rows"
    name = f"better than the champion {rival.evidence.digest[7:15]}"
    yield Finding(name, rival.high < 0, got, "log-loss difference wholly below 0")
    for part, compared in challenger.metrics.comparisons.items():
        theirs = rival.evidence.metrics.comparisons.get(part)
        for name, subgroup in compared.subgroups.items():
            if theirs and name in theirs.subgroups:
                difference = subgroup.shipped.log_loss - theirs.subgroups[name].shipped.log_loss
                yield _not_worse(f"{part}, {name}: not worse than the champion", difference, rules)


def _not_worse(rule: str, difference: float, rules: Review) -> Finding:
    margin = rules.subgroup_worse_by_at_most
    return Finding(rule, difference <= margin, f"log-loss {difference:+.4f}", f"at most {margin:+g}")


def _within_budget(used: Used, rules: Review) -> Iterator[Finding]:
    time, memory = rules.row_ms_at_most, rules.session_mib_at_most
    yield Finding("quick enough", used.row_ms <= time, f"{used.row_ms:.3f} ms a row", f"at most {time:g} ms")
    got = f"{used.session_mib:.1f} MiB for the session"
    yield Finding("small enough in memory", used.session_mib <= memory, got, f"at most {memory:g} MiB")


def _fit_for_the_field(challenger: Evidence, rules: Review) -> Iterator[Finding]:
    compared = challenger.parity.rows.values()
    worst = max(rows.log_odds_difference for rows in compared)
    wrong_leaves = sum(rows.wrong_leaves for rows in compared)
    yield Finding(
        "ONNX agrees with the booster",
        worst <= rules.log_odds_difference_at_most and wrong_leaves == 0,
        f"{worst:.1e} in log-odds, {wrong_leaves} wrong leaves, {sum(rows.rows for rows in compared)} rows",
        f"at most {rules.log_odds_difference_at_most:.0e}, none",
    )
    mib = challenger.onnx_bytes / 2**20
    yield Finding(
        "fits the device", mib <= rules.onnx_mib_at_most, f"{mib:.2f} MiB", f"at most {rules.onnx_mib_at_most:g} MiB"
    )
    marking = challenger.fit.marking
    yield Finding(
        "TLP allows the field",
        TLP.index(marking.tlp) <= TLP.index(rules.tlp_at_most),
        f"TLP:{marking.tlp}",
        f"at most TLP:{rules.tlp_at_most}",
    )
    partners = set(rules.release_to.get(challenger.dataset, []))
    yield Finding(
        "releasable to the field's partners",
        all(map(marking.allows, partners)),
        ", ".join(sorted(marking.audience)) or "nobody",
        ", ".join(sorted(partners)) or "nobody in particular",
    )


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
