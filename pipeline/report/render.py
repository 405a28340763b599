"""`Facts` -> the reviewers' page and the model cards; the same facts give the same bytes."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.model.provenance import EFFORT_ELSEWHERE
from pipeline.report.facts import Facts, ModelFacts, Part
from pipeline.report.sensor_results import DETECTION, rates_of
from pipeline.storage.marking import combined
from threat_scorer.scoring.kinds import kind_of

COLUMNS = {
    "area_risk": (
        ("roc_auc", "ROC-AUC"),
        ("pr_auc", "PR-AUC"),
        ("ece", "ECE"),
        ("hit_rate_1pct", "Hit rate, 1 % of area"),
        ("hit_rate_5pct", "5 % of area"),
        ("pai_1pct", "PAI, 1 %"),
    ),
    "sensor_threat": (
        ("roc_auc", "ROC-AUC"),
        ("roc_auc_worst_group", "Worst group"),
        ("pr_auc", "PR-AUC"),
        ("ece", "ECE"),
    ),
}
"""Metrics of a model's table of results, besides log-loss."""

STATEMENTS = {
    "area_risk": "The probability of at least one hazard event in an H3 cell in {horizon} days, of which the one that "
    "begins at the cutoff is the first, from what was known at the cutoff.",
    "sensor_threat": "The probability that a sensor's alarm is a real hazard, from what the sensor measured.",
}

SUBGROUPS = {
    "region": "By region: quarters of the theatre about its middle",
    "exposure": "By exposure: whether anybody is known to have patrolled, searched or cleared the cell",
    "partner": "By partner: rows without an event, and those whose events that partner has reported",
    "origin": "By time: rows that the model of one origin spoke of",
}
"""Headings of the subgroups of a model's rows, by the word that their names begin with."""
OTHER = "By what was known of the cell, and the rest"

LIMITS = {
    "area_risk": (
        "It learns from reports. Where nobody goes or reports, it sees no events: a low risk there may be silence. "
        "Finds and clearances follow where people searched.",
        "It knows only what was known at the cutoff: late reports are missing at their time, as they would be in use.",
        "A cell is as fine as it gets: it says nothing of a place within one.",
    ),
    "sensor_threat": (
        "It was tested on whole groups (lanes, sites, soils) that it had not seen; a kind of soil or hazard that no "
        "group holds is beyond what was measured.",
        "Alarms only: what the sensor did not react to is not scored, and is not safe.",
    ),
}


def page(facts: Facts) -> str:
    """Return the reviewers' page: one HTML file that loads no other."""
    mapped = next((model for model in facts.models if model.risk_map), None)
    columns = {id(part): COLUMNS[kind_of(model.evidence.model)] for model in facts.models for part in model.parts}
    kinds = dict.fromkeys(kind_of(model.evidence.model) for model in facts.models)
    results = _HTML.get_template("results.html")
    return _HTML.get_template("page.html").render(
        facts=facts,
        marked=combined(model.evidence.fit.marking for model in facts.models),
        mapped=mapped,
        map_data=Markup(_json(mapped.risk_map)) if mapped else "",
        css=Markup(_source("page.css")),
        js=Markup(_source("page.js")),
        better=better,
        results=lambda part: Markup(results.render(part=part, columns=columns[id(part)])),
        grouped=grouped,
        detection=DETECTION,
        rates_of=rates_of,
        limits=[f"{kind.replace('_', ' ')}: {line}" for kind in kinds for line in LIMITS[kind]],
    )


def card(facts: Facts, model: ModelFacts) -> str:
    """Return a model's card in Markdown."""
    kind = kind_of(model.evidence.model)
    return _MARKDOWN.get_template("card.md").render(
        facts=facts,
        model=model,
        evidence=model.evidence,
        statement=STATEMENTS[kind].format(horizon=model.evidence.fit.horizon_days),
        limits=LIMITS[kind],
        effort=EFFORT_ELSEWHERE,
    )


def better(part: Part) -> str:
    """Return in words whether the shipped model is better than the best baseline."""
    d, name = part.difference, part.best_baseline.replace("_", " ")
    numbers = f"{d.value:+.4f} nats a row, 95 % interval {d.low:+.4f} to {d.high:+.4f}, n = {part.rows:,}"
    if d.high < 0:
        return f"better than the best baseline, {name} ({numbers})."
    if d.low > 0:
        return f"worse than the best baseline, {name} ({numbers})."
    return f"not clearly different from the best baseline, {name} ({numbers})."


def grouped(subgroups: Iterable[Part]) -> dict[str, list[Part]]:
    """Return the subgroups of a model's rows under their headings, the headings always in the same order."""
    headed: dict[str, list[Part]] = {heading: [] for heading in (*SUBGROUPS.values(), OTHER)}
    for part in subgroups:
        first_word = part.name.split(", ")[-1].split(" ")[0]
        headed[SUBGROUPS.get(first_word, OTHER)].append(part)
    return {heading: parts for heading, parts in headed.items() if parts}


def _json(value: Any) -> str:
    """Return JSON that cannot end the script element that holds it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")


def _environment(*, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=_TEMPLATES,
        autoescape=autoescape,
        undefined=jinja2.ChainableUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["settings"] = lambda params: sorted(dataclasses.asdict(params).items())
    environment.filters["commas"] = lambda number: f"{number:,}"
    return environment


def _source(name: str) -> str:
    return _TEMPLATES.get_source(_HTML, name)[0]


_TEMPLATES = jinja2.PackageLoader("pipeline.report")
_HTML = _environment(autoescape=True)
_MARKDOWN = _environment(autoescape=False)
