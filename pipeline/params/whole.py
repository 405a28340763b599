"""params.yaml -> one frozen dataclass of all its sections; an unknown key or a wrong value is a named error."""

from pathlib import Path

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from pipeline.params.datasets import (
    Admiralty,
    AreaModel,
    AreaTask,
    Dataset,
    Measured,
    Modality,
    Run,
    SensorTask,
    Simulate,
    Theatre,
)
from pipeline.params.declarations import read_declaration
from pipeline.params.names import nearest
from pipeline.params.stages import Evaluate, Export, Features, Review, TrainSections, Tune
from pipeline.params.strict import STRICT
from pipeline.runtime.errors import DeclarationError
from pipeline.runtime.local_days import NO_ZONE


@dataclass(frozen=True, config=STRICT)
class Params:
    """All of params.yaml."""

    run: Run
    datasets: dict[str, Dataset]
    simulate: Simulate
    modalities: dict[str, Modality]
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
        """Return what kind of model one of a dataset's is: ``area_risk`` or ``sensor_threat``.

        Raises
        ------
        DeclarationError
            The dataset has no such model.
        """
        return "area_risk" if isinstance(self._model(name, model), AreaModel) else "sensor_threat"

    def area_task(self, name: str, model: str) -> AreaTask:
        """Return what a model of area risk predicts in a dataset.

        Raises
        ------
        DeclarationError
            The dataset has no such model.
        """
        declared = self._model(name, model)
        if not isinstance(declared, AreaModel):
            known = ", ".join(self.dataset(name).area_models) or "none, for it has no model of area risk"
            raise DeclarationError(f"params.yaml: datasets.{name}: {model} is not of area risk; expected {known}")
        return AreaTask(**vars(declared), zone=self.theatre(name).zone or NO_ZONE)

    def planners_model(self, name: str) -> str:
        """Return the model of area risk that planners see first, of a dataset: the first that it declares.

        Raises
        ------
        DeclarationError
            The dataset has none.
        """
        models = self.dataset(name).area_models
        if not models:
            raise DeclarationError(
                f"params.yaml: datasets.{name}.models has no model of area risk; expected one with horizon_days"
            )
        return next(iter(models))

    def sensor_task(self, name: str) -> SensorTask:
        """Return what `sensor_threat` reads in a dataset.

        Raises
        ------
        DeclarationError
            The dataset has no such model.
        """
        task = self.dataset(name).sensor_model
        if task is None:
            raise DeclarationError(
                f"params.yaml: datasets.{name}.models has no sensor_threat; expected it with its modalities"
            )
        return task

    def measured(self, name: str) -> dict[str, Measured]:
        """Return what the sensors of a dataset measure, in the order of its modalities; empty without sensors."""
        return {n: m for modality in self.dataset(name).modalities.values() for n, m in modality.items()}

    def optional_modalities(self, name: str) -> dict[str, list[str]]:
        """Return the inputs of each modality of a dataset that a detection may lack as a whole."""
        return {
            modality: list(inputs)
            for modality, inputs in self.sensor_task(name).modalities.items()
            if not any(entry.required for entry in inputs.values())
        }

    def _model(self, name: str, model: str) -> AreaModel | SensorTask:
        models = self.dataset(name).models
        if model not in models:
            known = f"{nearest(model, models)} (known: {', '.join(models)})"
            raise DeclarationError(f"params.yaml: datasets.{name} has no model {model!r}{known}")
        return models[model]

    @model_validator(mode="after")
    def _modalities_are_declared(self) -> "Params":
        for name, dataset in self.datasets.items():
            for modality, inputs in dataset.modalities.items():
                where = f"datasets.{name}.modalities.{modality}"
                if modality not in self.modalities:
                    near = nearest(modality, self.modalities)
                    raise ValueError(f"{where} is not declared under modalities{near}")
                if inputs != self.modalities[modality]:
                    raise ValueError(f"{where}: expected modalities.{modality} as it is, by a YAML alias")
        return self

    @model_validator(mode="after")
    def _area_models_are_fitted_somehow(self) -> "Params":
        for name, dataset in self.datasets.items():
            for model in dataset.area_models:
                if model not in self.train.area_risk:
                    raise ValueError(f"train has no section {model}, which datasets.{name}.models asks for")
        return self

    @model_validator(mode="after")
    def _what_is_simulated_suffices(self) -> "Params":
        for name, dataset in self.datasets.items():
            for model, task in dataset.area_models.items() if dataset.simulated else ():
                where = f"datasets.{name}.models.{model}"
                if task.horizon_days not in self.simulate.horizons_days:
                    raise ValueError(
                        f"{where} looks {task.horizon_days} days ahead; expected one of simulate.horizons_days, "
                        f"{self.simulate.horizons_days}, for which the truth is written"
                    )
                if task.test_until > self.simulate.until:
                    raise ValueError(
                        f"{where}.test_until is {task.test_until}; expected no later than simulate.until, "
                        f"{self.simulate.until}"
                    )
        return self


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml."""
    return read_declaration(path, Params)
