"""A reviewer's command -> the gate's verdict, an entry in the ledger, and MLflow showing both."""

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import params, tracking
from pipeline.model import provenance
from pipeline.review import budget, evidence, gate, ledger, registry
from pipeline.review import champion as champions
from pipeline.review.evidence import Evidence
from pipeline.review.gate import Verdict
from pipeline.review.ledger import Decision, Entry
from pipeline.runtime.errors import StageError
from pipeline.storage.paths import DatasetPaths

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Comparison:
    """A challenger, the champion in the field, and the gate's verdict."""

    challenger: Evidence
    champion: Entry | None
    verdict: Verdict


def compare(dataset: str, model: str) -> Comparison:
    """Compare the model in the working folder with the champion and the baselines; log the verdict in its run.

    Raises
    ------
    StageError
        Evidence is missing or not what the ledger signed; the ledger does not verify; the scorer does not run the file.
    """
    client = tracking.connect()
    challenger = evidence.of_files(dataset, model)
    champion = ledger.in_field(ledger.read(registry.anchors(client))).get((dataset, model))
    placed = champion is not None and champion.decision.model_digest == challenger.digest
    declared = params.load()
    # the champion need not be better than itself
    before = None if placed else _evidence(client, champion)
    rival = None if before is None else champions.rival(challenger, before, declared.evaluate)
    used = budget.measure(DatasetPaths(dataset).onnx(model))
    verdict = gate.judge(challenger, rival, declared.review, used=used)
    run_id = tracking.record(dataset, model)
    if run_id is None:
        raise StageError(f"MLflow: holds no run of {model} in {dataset}; run `python -m pipeline.tracking {dataset}`")
    client.log_text(run_id, json.dumps(_findings(verdict), indent=2), "review/verdict.json")
    client.set_tag(run_id, "verdict", "passed" if verdict.passed else f"failed: {', '.join(verdict.broken)}"[:5000])
    if not placed:
        registry.show_challenger(client, dataset, model, challenger.digest)
    return Comparison(challenger, champion, verdict)


def promote(compared: Comparison, *, by: str, override: str | None = None) -> Entry:
    """Put the challenger into the field.

    Parameters
    ----------
    compared
        The challenger and its verdict.
    by
        Name of the reviewer, whose key signs.
    override
        Reason to promote against the gate's verdict; None where the verdict must be a pass.

    Raises
    ------
    StageError
        The model fails the gate without an override, or passes it with one; the model is the champion already.
    """
    challenger, verdict = compared.challenger, compared.verdict
    if compared.champion is not None and compared.champion.decision.model_digest == challenger.digest:
        raise StageError(
            f"{challenger.model} {challenger.digest[7:15]}: is the champion already; expected another model"
        )
    if not verdict.passed and not override:
        raise StageError(
            f"{challenger.model} {challenger.digest[7:15]}: fails {len(verdict.broken)} rules of the gate "
            f"({'; '.join(verdict.broken)}); expected a pass, or --override with the reason"
        )
    if verdict.passed and override:
        raise StageError("--override: got a reason, but every rule holds; expected a promotion without it")
    decision = Decision(
        at=ledger.now(),
        action="override" if override else "promote",
        by=by,
        reason=override,
        dataset=challenger.dataset,
        model=challenger.model,
        model_digest=challenger.digest,
        onnx_digest=challenger.files["onnx"],
        replaces=compared.champion.decision.model_digest if compared.champion else None,
        verdict=_findings(verdict),
        evidence=challenger.files,
        git_commit=provenance.commit(),
    )
    return _record(decision)


def rollback(dataset: str, model: str, *, by: str, reason: str) -> Entry:
    """Put back what the champion replaced.

    Parameters
    ----------
    dataset, model
        Names of the dataset and of its model.
    by, reason
        Name of the reviewer, whose key signs, and the reason that the ledger keeps.

    Raises
    ------
    StageError
        Nothing is in the field, or nothing was before it.
    """
    entries = ledger.read(registry.anchors(tracking.connect()))
    current = ledger.in_field(entries).get((dataset, model))
    before = current and earlier(entries, current)
    if current is None or before is None:
        raise StageError(f"{model} of {dataset}: nothing was in the field before; expected at least two decisions")
    return _record(
        dataclasses.replace(
            before.decision,
            at=ledger.now(),
            action="rollback",
            by=by,
            reason=reason,
            replaces=current.decision.model_digest,
            git_commit=provenance.commit(),
        )
    )


def earlier(entries: list[Entry], current: Entry) -> Entry | None:
    """Return the last promotion of the model that a champion replaced: what a rollback would put back.

    After a rollback, that is the promotion before the one put back. Two rollbacks therefore go two steps back.
    """
    placed = [
        entry
        for entry in entries
        if (entry.decision.dataset, entry.decision.model) == (current.decision.dataset, current.decision.model)
        and entry.decision.action != "rollback"
    ]
    position = max(i for i, entry in enumerate(placed) if entry.decision.model_digest == current.decision.model_digest)
    return placed[position - 1] if position else None


def _record(decision: Decision) -> Entry:
    client = tracking.connect()
    registry.version_of(client, decision.dataset, decision.model, decision.model_digest)  # can it be shown?
    entry = ledger.append(decision, registry.anchors(client))
    registry.show_decision(client, entry)
    return entry


def _evidence(client: "MlflowClient", champion: Entry | None) -> Evidence | None:
    if champion is None:
        return None
    placed = champion.decision
    run = tracking.find_model(client, placed.dataset, placed.model, placed.model_digest)
    if run is None:
        raise StageError(
            f"MLflow: holds no run of the champion {placed.model} {placed.model_digest[7:15]}; restore it with "
            f"`git checkout {placed.git_commit}`, `dvc checkout` and `python -m pipeline.tracking {placed.dataset}`"
        )
    return evidence.of_run(client, run, dataset=placed.dataset, model=placed.model, signed=placed.evidence)


def _findings(verdict: Verdict) -> list[dict[str, object]]:
    return [dataclasses.asdict(finding) for finding in verdict.findings]
