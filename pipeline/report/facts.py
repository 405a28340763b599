"""The stages' files of a dataset -> the content of the reviewers' page and of the model cards."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.catalogue import Catalogue, Feature
from pipeline.model.skill_records import ORACLE, SHIPPED, Estimate, Skill, SubgroupSkill
from pipeline.params import Params
from pipeline.report.drift import Drift, after_the_last_origin, by_group, drift
from pipeline.report.drivers import Reasons, reasons
from pipeline.report.freshness import Freshness, freshness, newest
from pipeline.report.risk_map import risk_map
from pipeline.review import evidence, gate
from pipeline.review.evidence import Evidence
from pipeline.review.gate import Verdict
from pipeline.runtime.errors import StageError
from pipeline.runtime.local_days import NO_ZONE, day_of, zone_of
from pipeline.storage import records, store
from pipeline.storage.ingest_report import IngestReport
from pipeline.storage.paths import DatasetPaths
from pipeline.storage.schemas import ROW_KEYS
from threat_scorer.scoring.kinds import kind_of

PLOTS = {
    "reliability": "Calibration: what was predicted against what happened",
    "gain": "Gain: share of what happened inside the share that ranks highest",
    "lift": "Lift: how many times more of it lies there than chance would find",
    "operating": "Operating curve: probability of detection against false alarms per m² of searched ground",
    "roc": "Probability of detection against the share of false alarms",
    "precision_recall": "Precision against recall",
}
"""Plots of models against one another, in the page's order, and what they are."""

DRIVER_PLOTS = {
    "effects": "What moves single rows: a dot is a row, its place how far the feature moves the log-odds",
    "importance": "What moves the model, which way, and what its trees gain by it",
}
"""Plots of what drives the shipped model."""


@dataclass(frozen=True)
class Line:
    """One model or baseline in a table of results."""

    name: str
    skill: Skill
    difference: Estimate | None
    """Log-loss of the shipped model less this one's, with its interval; None for the shipped model itself."""
    kind: str
    """``shipped``, ``baseline`` or ``oracle``."""


@dataclass(frozen=True)
class Part:
    """A comparison on the same rows: of the theatre, a modality, or a part of its rows."""

    name: str
    rows: int
    positives: int
    best_baseline: str
    difference: Estimate
    """To the best baseline."""
    lines: tuple[Line, ...]
    oracle_share: float | None


@dataclass(frozen=True)
class Plot:
    """A picture that `evaluate` drew."""

    name: str
    title: str
    png: str
    """Base64."""


@dataclass(frozen=True)
class ModelFacts:
    """All that is known of one model."""

    evidence: Evidence
    verdict: Verdict
    parts: tuple[Part, ...]
    subgroups: tuple[Part, ...]
    plots: tuple[Plot, ...]
    driver_plots: tuple[Plot, ...]
    drivers: tuple[tuple[str, float], ...]
    """Groups of features and their mean effect, log-odds, the largest first."""
    drift: tuple[Drift, ...]
    """Of each group of features, the most shifted first."""
    risk_map: Mapping[str, Any] | None
    """Of the model of area risk that planners see first."""


@dataclass(frozen=True)
class Facts:
    """All that is known of a dataset."""

    dataset: str
    simulated: bool
    models: tuple[ModelFacts, ...]
    ingested: IngestReport
    cutoff: np.datetime64
    """The models' last one; of sensors alone, the moment when the last row became known."""
    known_by: str
    """The same for people: a cutoff as the start of a theatre's day, another moment as its UTC day."""
    freshness: tuple[Freshness, ...]


def gather(dataset: str, declared: Params) -> Facts:
    """Read all files of a dataset.

    Raises
    ------
    StageError
        A file is missing, or the held-out rows are not the features' rows.
    """
    entry = declared.dataset(dataset)
    mapped = declared.planners_model(dataset) if entry.area_models else None
    models = tuple(_model(dataset, name, declared, mapped=name == mapped) for name in entry.models)
    last = _last_cutoff(models)
    cutoff = newest(dataset) if last is None else last
    return Facts(
        dataset=dataset,
        simulated=entry.simulated,
        models=models,
        ingested=records.read(DatasetPaths(dataset).ingested, IngestReport),
        cutoff=cutoff,
        known_by=_moment(cutoff, None if last is None else (entry.theatre and entry.theatre.zone) or NO_ZONE),
        freshness=tuple(freshness(dataset, cutoff)),
    )


def _last_cutoff(models: Iterable[ModelFacts]) -> np.datetime64 | None:
    held_out = [model.evidence.held_out for model in models if "cutoff" in model.evidence.held_out.column_names]
    return max((rows["cutoff"].to_numpy().max() for rows in held_out), default=None)


def _moment(cutoff: np.datetime64, zone: str | None) -> str:
    if zone is None:
        return f"{cutoff.astype('datetime64[D]')} (UTC)"
    return f"the start of {day_of(cutoff, zone)} ({zone})"


def _model(dataset: str, model: str, declared: Params, *, mapped: bool) -> ModelFacts:
    paths = DatasetPaths(dataset)
    fitted = evidence.of_files(dataset, model)
    rows = store.read_table(paths.features(model), columns=[*ROW_KEYS[kind_of(model)], *fitted.fit.features])
    held_out = _held_out_features(rows, fitted, paths)
    features = Catalogue.read(paths.catalogue(model)).features
    explained = reasons(paths.onnx(model), held_out, features)
    return ModelFacts(
        evidence=fitted,
        verdict=gate.judge(fitted, None, declared.review),
        parts=tuple(_part(name, comparison) for name, comparison in fitted.metrics.comparisons.items()),
        subgroups=tuple(
            _part(f"{name}, {subgroup}".replace("_", " "), inner)
            for name, comparison in fitted.metrics.comparisons.items()
            for subgroup, inner in comparison.subgroups.items()
        ),
        plots=_plots(paths.evaluation(model), PLOTS),
        driver_plots=_plots(paths.evaluation(model), DRIVER_PLOTS),
        drivers=tuple(explained.mean_effect()) if explained else (),
        drift=tuple(_drift(rows, held_out, features, fitted)),
        risk_map=_map(fitted, explained, zone_of(rows.schema)) if mapped else None,
    )


def _map(fitted: Evidence, explained: Reasons | None, zone: str) -> dict[str, Any] | None:
    if fitted.fit.horizon_days is None:
        return None
    return risk_map(fitted.held_out, explained, horizon_days=fitted.fit.horizon_days, zone=zone)


def _part(name: str, compared: SubgroupSkill) -> Part:
    lines = [
        Line(
            name=model,
            skill=skill,
            difference=compared.log_loss_differences.get(model),
            kind="shipped" if model == SHIPPED else "oracle" if model == ORACLE else "baseline",
        )
        for model, skill in compared.models.items()
    ]
    return Part(
        name=name,
        rows=compared.rows,
        positives=compared.positives,
        best_baseline=compared.best_baseline,
        difference=compared.log_loss_difference,
        lines=tuple(sorted(lines, key=lambda line: (line.skill.log_loss, line.name))),
        oracle_share=compared.oracle_share,
    )


def _drift(rows: pa.Table, held_out: pa.Table, features: Sequence[Feature], fitted: Evidence) -> list[Drift]:
    """Return the shift of the features: after the last origin, or of any group that was held out."""
    if (horizon := fitted.fit.horizon_days) is not None:
        zone = zone_of(rows.schema)
        last = after_the_last_origin(rows["cutoff"].to_numpy(), fitted.held_out, horizon_days=horizon, zone=zone)
        return drift(rows, features, last)
    return drift(held_out, features, by_group(fitted.held_out["fold"].to_numpy()))


def _held_out_features(rows: pa.Table, fitted: Evidence, paths: DatasetPaths) -> pa.Table:
    """Return the features of the held-out rows, in their order."""
    keys = ROW_KEYS[kind_of(fitted.model)]
    held_out = fitted.held_out[keys[0]]
    rows = rows.filter(pc.is_in(rows[keys[0]], value_set=pc.unique(held_out)))
    for key in keys:
        if not rows[key].combine_chunks().equals(fitted.held_out[key].combine_chunks()):
            raise StageError(
                f"{paths.features(fitted.model)}: {key} of its rows is not that of the held-out predictions; expected "
                "the same rows in the same order: run `python -m pipeline.train` again"
            )
    return rows


def _plots(folder: Path, titles: Mapping[str, str]) -> tuple[Plot, ...]:
    """Return those of the plots that were drawn of this model, in the order of their titles."""
    return tuple(
        Plot(name, title, b64encode(file.read_bytes()).decode())
        for name, title in titles.items()
        if (file := folder / f"{name}.png").exists()
    )
