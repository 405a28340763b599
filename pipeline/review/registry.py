"""The ledger -> MLflow's model registry: versions, the aliases champion and challenger, verdicts and overrides.

The ledger decides, the registry shows: an alias that someone moved by hand is put back, and named. A theatre's model
is a registered model of its own (``area_risk_28d.colombia``): a champion of one theatre is none in another.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.review.ledger import Anchor, Entry
from pipeline.runtime.errors import StageError
from pipeline.tracking.connection import find_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION, CHALLENGER = "champion", "challenger"
HEAD = "ledger_head"


def registered_name(dataset: str, model: str) -> str:
    """Return the name under which a theatre's model is registered.

    Examples
    --------
    >>> registered_name("colombia", "area_risk_28d")
    'area_risk_28d.colombia'
    """
    return f"{model}.{dataset}"


def anchors(client: "MlflowClient") -> list[Anchor]:
    """Return the registry's records of the ledger."""
    recorded = []
    for registered in client.search_registered_models():
        if HEAD in registered.tags:
            number, digest = registered.tags[HEAD].split(" ")
            recorded.append(Anchor(int(number), digest, f"MLflow's registered model {registered.name}"))
    return recorded


def version_of(client: "MlflowClient", dataset: str, model: str, digest: str) -> "ModelVersion":
    """Return the version made of a model's ONNX form; its description is the model card.

    Parameters
    ----------
    client
        MLflow.
    dataset, model, digest
        The dataset, its model, and the digest of the model as it was fitted.

    Raises
    ------
    StageError
        MLflow holds no run of the model, or one without its ONNX model.
    """
    name = registered_name(dataset, model)
    if _registered(client, name) is None:
        client.create_registered_model(name, tags={"dataset": dataset, "model": model})
    run = find_model(client, dataset, model, digest)
    if run is None or "onnx_model_id" not in run.data.tags:
        raise StageError(
            f"MLflow: holds no run of {model} {digest[7:15]} with its ONNX form; expected one: restore the model's "
            f"files, then run `python -m pipeline.tracking {dataset}`"
        )
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run.info.run_id:
            return version
    onnx = run.data.tags["onnx_model_id"]
    return client.create_model_version(
        name,
        source=f"models:/{onnx}",
        run_id=run.info.run_id,
        model_id=onnx,
        tags={"model_digest": digest},
        description=_card(client, run, model),
    )


def show_challenger(client: "MlflowClient", dataset: str, model: str, digest: str) -> None:
    """Make a model a version of the registered model, and the challenger.

    Parameters
    ----------
    client, dataset, model, digest
        As for `version_of`.
    """
    version = version_of(client, dataset, model, digest)
    client.set_registered_model_alias(registered_name(dataset, model), CHALLENGER, version.version)


def show_decision(client: "MlflowClient", entry: Entry) -> None:
    """Make the registry show a decision: the champion, who decided, and what was overridden, for ever."""
    decision = entry.decision
    name = registered_name(decision.dataset, decision.model)
    version = version_of(client, decision.dataset, decision.model, decision.model_digest)
    client.set_registered_model_alias(name, CHAMPION, version.version)
    text = f"{decision.at} by {decision.by}" + (f": {decision.reason}" if decision.reason else "")
    client.set_model_version_tag(name, version.version, f"{decision.action}.{entry.number}", text)
    client.set_registered_model_tag(name, HEAD, f"{entry.number} {entry.digest}")
    if client.get_registered_model(name).aliases.get(CHALLENGER) == version.version:
        client.delete_registered_model_alias(name, CHALLENGER)


def reconcile(client: "MlflowClient", in_field: Iterable[Entry]) -> list[str]:
    """Make every champion the ledger's; return a line for each that was not, or cannot be shown."""
    lines = []
    for entry in in_field:
        decision = entry.decision
        name = registered_name(decision.dataset, decision.model)
        if find_model(client, decision.dataset, decision.model, decision.model_digest) is None:
            lines.append(f"{name}: MLflow holds no run of the champion {decision.model_digest[7:15]}")
            continue
        registered = _registered(client, name)
        shown = registered.aliases.get(CHAMPION) if registered else None
        version = version_of(client, decision.dataset, decision.model, decision.model_digest).version
        if shown != version:
            show_decision(client, entry)
            lines.append(
                f"{name}: MLflow's champion was version {shown}; now {version}, as the ledger's {entry.number}"
            )
    return lines


def _card(client: "MlflowClient", run: "Run", model: str) -> str | None:
    """Return the model card that the run keeps."""
    if "card_digest" not in run.data.tags:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run.info.run_id, f"card/{model}.md", folder)
        return Path(path).read_text(encoding="utf-8")


def _registered(client: "MlflowClient", name: str) -> "RegisteredModel | None":
    registered = client.search_registered_models(f"name = '{name}'")
    return registered[0] if registered else None
