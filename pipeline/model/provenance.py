"""The stages' files, DVC's lock and the git checkout -> names and tags of an MLflow run, without MLflow."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.model.fit_record import FitRecord
from pipeline.model.skill_records import Metrics
from pipeline.runtime import fast_yaml
from pipeline.storage import records, store
from pipeline.storage.ingest_report import IngestReport
from pipeline.storage.paths import LOCK, PROCESSOR_LOCK, DatasetPaths
from pipeline.storage.read import table_files

EFFORT_ELSEWHERE = (
    "Measured at each fit. It differs from one to the next, so it is not in this file, whose bytes repeat: the "
    "card in MLflow's run of the model, and on its registered version, says it here."
)
"""What a card in a file says where the card in MLflow says `effort`."""


@dataclass(frozen=True)
class Input:
    """One table that a model was made from."""

    name: str
    path: Path
    digest: str
    context: str
    """``training`` for the rows that the model read, ``source`` for the tables behind them."""
    profile: Mapping[str, Any]
    """Counts: rows, and by source what was kept, merged and quarantined."""


def model_digest(paths: DatasetPaths, model: str) -> str:
    """Return the digest that a fitted model is known by: of its booster and the record of its fit."""
    return store.digest(paths.model(model) / "model.txt", paths.model(model) / "fit.json")


def evidence(paths: DatasetPaths, model: str) -> dict[str, list[Path]]:
    """Return the files that later stages wrote of a model, by what they are evidence of."""
    evaluation = sorted(path for path in paths.evaluation(model).glob("*") if path.is_file())
    held_out = paths.model(model) / "heldout.parquet"
    return {
        "evaluation": [*evaluation, held_out] if evaluation and held_out.exists() else evaluation,
        "export": [path for path in (paths.onnx(model), paths.parity(model)) if path.exists()],
        "ingest": [path for path in (paths.ingested,) if path.exists()],
        "card": [path for path in (paths.card(model),) if path.exists()],
    }


def inputs(paths: DatasetPaths, model: str, fit: FitRecord) -> list[Input]:
    """Return the model's own rows, and the canonical tables behind them with their rows by source.

    Parameters
    ----------
    paths
        Of the dataset.
    model
        The model's name.
    fit
        Record of its fit.
    """
    rows = {"rows": fit.rows, "positives": fit.positives, "features": len(fit.features)}
    tables = [Input(f"{paths.dataset}/{model}", paths.features(model), fit.features_digest, "training", rows)]
    sources = records.read(paths.ingested, IngestReport).sources if paths.ingested.exists() else {}
    for name, table in table_files(paths.dataset).items():
        counted = {
            source: {key: getattr(counts, key) for key in ("rows_in", "kept", "merged", "quarantined")}
            for source, counts in sources.items()
            if counts.table == name
        }
        profile = {"rows": store.count_rows(table), "sources": counted}
        tables.append(Input(f"{paths.dataset}/{name}", table, store.digest(table), "source", profile))
    return tables


def model_name(model: str, digest: str, metrics: Metrics | None = None) -> str:
    """Return a name of a model's run that can be read in a list.

    Parameters
    ----------
    model
        As in params.yaml.
    digest
        That the model is known by.
    metrics
        Of the model, where it has been evaluated.

    Examples
    --------
    >>> model_name("area_risk_28d", "sha256:9d62fe790b")
    'area_risk_28d 9d62fe79'
    """
    name = f"{model} {digest.removeprefix('sha256:')[:8]}"
    for part, comparison in (metrics.comparisons if metrics else {}).items():
        difference = comparison.log_loss_difference
        name += (
            f", {part}: log-loss {comparison.shipped.log_loss:.4f}, {difference.value:+.4f} "
            f"[{difference.low:+.4f}, {difference.high:+.4f}] against {comparison.best_baseline}"
        )
    return name


def pipeline_name(dataset: str, tags: Mapping[str, str], models: list[str]) -> str:
    """Return a name of a pipeline's run: what was run, on which commit, in which experiment.

    Parameters
    ----------
    dataset
        As in params.yaml.
    tags
        As `origin` returns them.
    models
        Names of the dataset's models.
    """
    commit = tags.get("git_commit", "no commit")[:8] + ("+changes" if tags.get("git_changed") == "true" else "")
    experiment = f", {tags['dvc_experiment']}" if "dvc_experiment" in tags else ""
    return f"{dataset}: {' + '.join(models)} at {commit}{experiment}"


def effort(metrics: Mapping[str, float], machine: str | None) -> str:
    """Return in words what a fit took.

    Parameters
    ----------
    metrics
        ``train.wall_seconds``, ``train.cpu_seconds`` and, where it was measured, ``train.joules``; none of them where
        the fit was made elsewhere.
    machine
        Kind and number of its processors.
    """
    if "train.wall_seconds" not in metrics:
        return "Not known: the model came from a cache, and was not fitted where this log is written."
    wall_s, cpu_s = metrics["train.wall_seconds"], metrics["train.cpu_seconds"]
    took = (
        f"{wall_s:,.1f} s by the clock, {cpu_s:,.1f} s of processor time ({machine}), with the fits at earlier "
        "origins or for held-out groups. Energy: "
    )
    if "train.joules" not in metrics:
        return took + "not measured, as that machine does not show its processors' counters."
    return took + f"{metrics['train.joules']:,.0f} J, by the processors' own counters: of all that they did meanwhile."


def origin(dataset: str, *, simulated: bool) -> dict[str, str]:
    """Return tags that say where a run comes from: dataset, simulated or real, commit, DVC experiment."""
    tags = {"dataset": dataset, "simulated": str(simulated).lower()}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc_experiment"] = experiment
    checked_out = commit()
    if checked_out is None:
        return tags
    changed = _git("status", "--porcelain", "--", "pipeline", "serving", "data/sources", "params.yaml", "dvc.yaml")
    return {**tags, "git_commit": checked_out, "git_changed": str(bool(changed)).lower()}


def commit() -> str | None:
    """Return the git commit that is checked out; None outside a checkout."""
    return _git("rev-parse", "HEAD")


def stage_digests(dataset: str, model: str, lock: Path | None = None) -> dict[str, str]:
    """Return, as tags, the digest of what DVC's lock records of each stage that made a model and its evidence.

    Parameters
    ----------
    dataset, model
        As in params.yaml.
    lock
        DVC's lock: that of this processor where there is one. No tags where the file does not exist.
    """
    file = lock or (PROCESSOR_LOCK if PROCESSOR_LOCK.exists() else LOCK)
    locked = fast_yaml.load(file.read_text(encoding="utf-8")).get("stages", {}) if file.exists() else {}
    stages = {name: f"{name}@{dataset}-{model}" for name in ("features", "train", "evaluate", "export")}
    return {
        f"dvc_stage.{name}": f"sha256:{hashlib.sha256(json.dumps(locked[key], sort_keys=True).encode()).hexdigest()}"
        for name, key in stages.items()
        if key in locked
    }


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys joined by dots.

    Examples
    --------
    >>> flat({"theatre": {"models": {"lightgbm": {"brier": 0.1}}}})
    {'theatre.models.lightgbm.brier': 0.1}
    """
    result: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            result |= flat(entry, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = entry
    return result


def numbers(value: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among nested values, under their keys joined by dots."""
    return {key: number for key, number in flat(value).items() if type(number) in (int, float)}


def _git(*arguments: str) -> str | None:
    """Return what git prints; None outside a checkout."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
