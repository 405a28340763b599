"""A dataset's models -> their MLflow runs, and the pipeline run that they are of; a repetition changes nothing."""

from typing import TYPE_CHECKING

from pipeline import params
from pipeline.model import provenance
from pipeline.runtime.resource_use import Effort
from pipeline.storage.paths import DatasetPaths
from pipeline.tracking import folds, models
from pipeline.tracking.connection import connect, experiment_of, find_model, find_run, only_our_warnings

if TYPE_CHECKING:
    pass


def record(dataset: str, model: str, *, effort: Effort | None = None) -> str | None:
    """Make MLflow show one model of one dataset: its fit, and all later results so far.

    Parameters
    ----------
    dataset, model
        As in params.yaml. The model's files are read from where the stages left them.
    effort
        Time and energy of the fit, where it was made just now.

    Returns
    -------
    str or None
        The id of the model's run; None where no model has been fitted.
    """
    paths = DatasetPaths(dataset)
    if not (paths.model(model) / "model.txt").exists():
        return None
    digest = provenance.model_digest(paths, model)
    client = connect()
    with only_our_warnings():
        run = find_model(client, dataset, model, digest) or models.log_fit(client, paths, model, digest)
        if effort:
            run = models.log_effort(client, run, effort)
        models.log_evidence(client, run, paths, model)
        folds.log_folds(client, run, paths, model)
    return str(run.info.run_id)


def record_pipeline(dataset: str) -> str | None:
    """Make MLflow show all models of a dataset, and the pipeline run that they are of as their parent.

    A pipeline run is known by its models: the same files again are the same run. A model that an earlier pipeline run
    fitted stays that run's child; the new parent links to it.

    Returns
    -------
    str or None
        The id of the parent run; None where no model has been fitted.
    """
    declared = params.load().dataset(dataset)
    runs = {model: run for model in declared.models if (run := record(dataset, model))}
    if not runs:
        return None
    client = connect()
    children = {model: client.get_run(run) for model, run in runs.items()}
    digests = {f"digest.{model}": child.data.tags["model_digest"] for model, child in children.items()}
    with only_our_warnings():
        parent = find_run(client, dataset, kind="pipeline", **digests)
        if parent is None:
            tags = {"kind": "pipeline", **digests, **provenance.origin(dataset, simulated=declared.simulated)}
            parent = client.create_run(experiment_of(client, dataset), tags=tags)
            client.set_terminated(parent.info.run_id)
    parent_id = str(parent.info.run_id)
    names = {model: child.info.run_name for model, child in children.items()}
    client.update_run(parent_id, name=provenance.pipeline_name(dataset, parent.data.tags, list(children)))
    lines = [f"- [{names[model]}](#/experiments/{parent.info.experiment_id}/runs/{run})" for model, run in runs.items()]
    client.set_tag(parent_id, "mlflow.note.content", "\n".join(["The models of this pipeline run:", "", *lines]))
    for model, child in children.items():
        # while a stage runs, DVC's lock is still that of the time before; now all stages are done
        tags = {"mlflow.parentRunId": parent_id} | child.data.tags | provenance.stage_digests(dataset, model)
        for key, value in tags.items() - child.data.tags.items():
            client.set_tag(child.info.run_id, key, value)
    return parent_id
