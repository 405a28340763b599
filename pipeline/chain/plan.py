"""The stages that DVC lists as changed, and the models of params.yaml -> the models to run, the longest first."""

import re
from collections.abc import Iterable, Mapping

from pipeline.params.datasets import AreaModel, DeclaredModel

SHARED = ("acquire", "ingest")
"""Stages of the whole dataset, which every model needs."""
OF_A_MODEL = ("features", "train", "evaluate", "export")
"""Stages of one model, in order."""


def stages_of(dataset: str, model: str) -> list[str]:
    """Return the stages of a model, in order: none that it shares, for which two models would wait or fail.

    Examples
    --------
    >>> stages_of("sonar", "sensor_threat")[:2]
    ['features@sonar-sensor_threat', 'train@sonar-sensor_threat']
    """
    return [f"{stage}@{dataset}-{model}" for stage in OF_A_MODEL]


def needs_shared(changed: Iterable[str]) -> bool:
    """Return whether a stage of the whole dataset, before those of the models, has changed.

    Examples
    --------
    >>> needs_shared(["ingest@simulated"]), needs_shared(["report@simulated"])
    (True, False)
    """
    return any(name.split("@")[0] in SHARED for name in changed)


def models_to_run(changed: Iterable[str], dataset: str, models: Mapping[str, DeclaredModel]) -> list[str]:
    """Return the models of which a stage has changed, the longest first; all of them where a shared stage has.

    Parameters
    ----------
    changed
        Names of stages, as ``train@simulated-area_risk_28d``.
    dataset
        The one that the stages are of.
    models
        Its models by name, in the order of params.yaml.
    """
    names = list(changed)
    if needs_shared(names):
        chosen = list(models)
    else:
        of_models = {match[1] for name in names if (match := re.fullmatch(rf"\w+@{re.escape(dataset)}-(.+)", name))}
        chosen = [name for name in models if name in of_models]
    return sorted(chosen, key=lambda name: -_length(models[name]))


def _length(model: DeclaredModel) -> float:
    """Return a number that grows with the time that a model takes: its cutoffs for training and test."""
    if not isinstance(model, AreaModel):
        return 0
    return (model.test_until - model.train_from).days / model.cutoff_every_days
