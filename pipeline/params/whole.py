"""params.yaml -> one frozen dataclass of all its sections; an unknown key or a value out of range is a named error."""

import dataclasses
from pathlib import Path

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from pipeline.params.datasets import (
    Admiralty,
    AreaTask,
    Dataset,
    Measured,
    Run,
    SensorTask,
    Simulate,
    Theatre,
)
from pipeline.params.declarations import STRICT, nearest, read_declaration
from pipeline.params.stages import Evaluate, Export, Features, Review, TrainSections, Tune
from pipeline.runtime.errors import DeclarationError
from pipeline.runtime.local_days import NO_ZONE
from threat_scorer.scoring.kinds import kind_of


@dataclass(frozen=True, config=STRICT)
class Params:
    """All of params.yaml."""

    run: Run
    datasets: dict[str, Dataset]
    simulate: Simulate
    modalities: dict[str, dict[str, Measured]]
    admiralty: Admiralty
    features: Features
    train: TrainSections
    tune: Tune
    evaluate: Evaluate
    export: Export
    review: Review

    def dataset(self, name: str) -> Dataset:
        """Return one dataset's entry.

        Raises
        ------
        DeclarationError
            There is none of that name.
        """
        try:
            return self.datasets[name]
        except KeyError:
            raise DeclarationError(
                f"params.yaml: datasets has no {name!r}{nearest(name, self.datasets)} "
                f"(known: {', '.join(self.datasets)})"
            ) from None

    def theatre(self, name: str) -> Theatre:
        """Return the ground of a dataset.

        Raises
        ------
        DeclarationError
            It has none.
        """
        theatre = self.dataset(name).theatre
        if theatre is None:
            raise DeclarationError(f"params.yaml: datasets.{name} has no theatre; expected its bounds and cells")
        return theatre

    def kind(self, name: str, model: str) -> str:
        """Return what kind of model one of a dataset's is.

        Raises
        ------
        DeclarationError
            The dataset has no such model.
        """
        models = self.dataset(name).models
        if model not in models:
            known = f"{nearest(model, models)} (known: {', '.join(models)})"
            raise DeclarationError(f"params.yaml: datasets.{name} has no model {model!r}{known}")
        return kind_of(model)

    def area_task(self, name: str, model: str) -> AreaTask:
        """Return what a model of area risk predicts in a dataset.

        Raises
        ------
        DeclarationError
            The dataset has no such model.
        """
        section = self.dataset(name).area_risk
        if self.kind(name, model) != "area_risk" or section is None:
            known = ", ".join(section.tasks) if section else "none, for it has no area_risk"
            raise DeclarationError(f"params.yaml: datasets.{name}: {model} is not of area risk; expected {known}")
        return dataclasses.replace(section.tasks[model], zone=self.theatre(name).zone or NO_ZONE)

    def planners_model(self, name: str) -> str:
        """Return the model of area risk that planners see first, of a dataset: that of the first horizon.

        Raises
        ------
        DeclarationError
            The dataset has none.
        """
        section = self.dataset(name).area_risk
        if section is None:
            raise DeclarationError(f"params.yaml: datasets.{name} has no area_risk; expected its label and its days")
        return next(iter(section.tasks))

    def sensor_task(self, name: str) -> SensorTask:
        """Return what `sensor_threat` reads in a dataset.

        Raises
        ------
        DeclarationError
            The dataset has no such task.
        """
        task = self.dataset(name).sensor_threat
        if task is None:
            raise DeclarationError(f"params.yaml: datasets.{name} has no sensor_threat; expected its modalities")
        return task

    def measured(self, name: str) -> dict[str, Measured]:
        """Return what the sensors of a dataset measure, in the order of its modalities; empty without sensors."""
        task = self.dataset(name).sensor_threat
        return {n: m for modality in (task.modalities if task else []) for n, m in self.modalities[modality].items()}

    def optional_modalities(self, name: str) -> dict[str, list[str]]:
        """Return the inputs of each modality of a dataset that a detection may lack as a whole."""
        return {
            modality: list(self.modalities[modality])
            for modality in self.sensor_task(name).modalities
            if not any(entry.required for entry in self.modalities[modality].values())
        }

    @model_validator(mode="after")
    def _modalities_are_declared(self) -> "Params":
        for name, dataset in self.datasets.items():
            for modality in dataset.sensor_threat.modalities if dataset.sensor_threat else []:
                if modality not in self.modalities:
                    raise ValueError(
                        f"datasets.{name}.sensor_threat.modalities names {modality!r}, which is not declared under "
                        f"modalities{nearest(modality, self.modalities)}"
                    )
        return self

    @model_validator(mode="after")
    def _area_models_are_fitted_somehow(self) -> "Params":
        for name, dataset in self.datasets.items():
            for model in dataset.area_risk.tasks if dataset.area_risk else ():
                if model not in self.train.area_risk:
                    raise ValueError(f"train has no section {model}, which datasets.{name}.area_risk asks for")
        return self


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml."""
    return read_declaration(path, Params)
