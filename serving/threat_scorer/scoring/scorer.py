"""A bundle's folder -> `Scorer`: columns or one record in, calibrated probabilities out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from threat_scorer.bundle.folder import BundleFiles, read_bundle
from threat_scorer.bundle.manifest import Release
from threat_scorer.bundle.prior import Prior
from threat_scorer.errors import BundleError, RecordError
from threat_scorer.scoring.contract import Contract, Input
from threat_scorer.scoring.decision import Posterior, Uncertainty, fuse, predict
from threat_scorer.scoring.float32 import Float32Array, to_float32, unmasked
from threat_scorer.scoring.model import Model
from threat_scorer.scoring.records import near_miss


@dataclass(frozen=True)
class Scores:
    """Scores of n rows."""

    model: str
    bundle: str
    simulated: bool
    """True where the model knows only a simulated theatre: its scores mean nothing for a real one."""
    probability: Float32Array
    """Shape (n,), 0 to 1."""
    log_odds: Float32Array
    """Shape (n,)."""
    out_of_range: dict[str, npt.NDArray[np.bool_]]
    """For each input with a value outside the contract's range: which rows, shape (n,)."""
    uncertainty: Uncertainty[Float32Array, npt.NDArray[np.bool_]] | None = None
    """None where it was not requested."""


class Score(NamedTuple):
    """Score of one record."""

    probability: float
    log_odds: float
    out_of_range: tuple[str, ...]
    """Inputs whose value lies outside the contract's range."""
    uncertainty: Uncertainty[float, bool] | None = None
    """None where it was not requested."""


class Scorer:
    """The models of one bundle, ready to score.

    Examples
    --------
    ::

        scorer = Scorer.load("models/simulated/bundle")
        scorer.score("sensor_threat", {"voltage": [0.4, 0.9], "height": [0.3, 0.3]}).probability   # two rows
        scorer.score_record("sensor_threat", {"voltage": 0.4, "height": 0.3}).probability          # one
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        bundle: str,
        *,
        release: Release | None = None,
        prior: Prior | None = None,
    ) -> None:
        self._models = dict(models)
        self.bundle = bundle
        """Identity of the bundle: its dataset, or name and version where it was signed, and the start of its digest."""
        self.release = release
        """The signed terms; None where the bundle is a folder of headquarters."""
        self.prior = prior
        """The area prior; None where the bundle has none."""

    @classmethod
    def load(cls, folder: str | Path) -> "Scorer":
        """Load a bundle without a signature, as headquarters does; a device loads by `slots.load`.

        Raises
        ------
        BundleError
            The folder or one of its files cannot be used; the message names what, where, got and expected.
        """
        return cls.of(read_bundle(Path(folder)))

    @classmethod
    def of(cls, files: BundleFiles) -> "Scorer":
        """Make a scorer of a bundle's files; it loads every model and tests it on its golden rows.

        Raises
        ------
        BundleError
            A file cannot be used, or is of another dataset than the rest.
        """
        models = {}
        for name, onnx in files.models.items():
            where = f"{files.where / name}.onnx"
            models[name] = Model(onnx, where=where)
            if (got := models[name].contract.model) != name:
                raise BundleError(f"{where}: its contract is that of {got!r}; expected {name!r}, as the file's name")
        origins = {(model.contract.dataset, model.contract.simulated) for model in models.values()}
        if files.release:
            origins.add((files.release.dataset, files.release.simulated))
        if len(origins) > 1:
            raise BundleError(f"{files.where}: of different datasets: {sorted(origins)}; expected one")
        name = f"{files.release.name}-{files.release.version}" if files.release else origins.pop()[0]
        return cls(models, f"{name}-{files.digest[:12]}", release=files.release, prior=files.prior)

    @property
    def contracts(self) -> dict[str, Contract]:
        """Contract of each model, by name."""
        return {name: model.contract for name, model in self._models.items()}

    def model(self, name: str) -> Model:
        """Return one model.

        Raises
        ------
        BundleError
            The bundle has none of that name.
        """
        try:
            return self._models[name]
        except KeyError:
            known = ", ".join(self._models)
            raise BundleError(f"{self.bundle}: no model {name!r}; expected one of {known}") from None

    def score(
        self,
        model: str,
        columns: Mapping[str, npt.ArrayLike],
        *,
        prior_log_odds: npt.ArrayLike | None = None,
        uncertainty: bool = False,
    ) -> Scores:
        """Score n rows, given by column.

        Parameters
        ----------
        model
            Name of a model in the bundle.
        columns
            Inputs by name, in any order, n values each. A missing value is NaN, None or masked; a whole optional column
            may be left out. Other columns are refused.
        prior_log_odds
            Of each row's place, as `Prior.at` gives them, to be fused with the model's own; NaN where unknown: then the
            base rate of the training stands in, and the model decides alone.
        uncertainty
            Whether to give intervals and novelty too. A model whose policy is to abstain always gives them.

        Raises
        ------
        BundleError
            No such model, or it has no intervals.
        RecordError
            A required column is missing, or a column is not an input.
        FeatureError
            A column is not numbers, or the columns differ in length.
        """
        chosen = self.model(model)
        contract = chosen.contract
        arrays = _complete(contract.inputs, columns)
        outside = {
            entry.name: rows for entry in contract.inputs if (rows := _outside(arrays[entry.name], *entry.limits)).any()
        }
        output = chosen.predict(arrays, prior_log_odds, uncertainty=_needs_uncertainty(contract, uncertainty))
        any_outside = np.logical_or.reduce([np.zeros(output.probability.shape, dtype=np.bool_), *outside.values()])
        prediction = predict(output, any_outside, abstains=contract.abstains)
        return Scores(
            model,
            self.bundle,
            contract.simulated,
            prediction.probability,
            prediction.log_odds,
            outside,
            prediction.uncertainty,
        )

    def score_record(
        self,
        model: str,
        record: Mapping[str, Any],
        *,
        prior_log_odds: float | None = None,
        uncertainty: bool = False,
    ) -> Score:
        """Score one record, a mapping of input names to numbers, in microseconds.

        Parameters
        ----------
        model
            Name of a model in the bundle.
        record
            Values by the inputs' names. Keys that are no input are left alone, as a record carries more than a model
            reads; one that looks like an input misspelt is refused.
        prior_log_odds
            As for `score`, one number. It brings interval and novelty with it.
        uncertainty
            As for `score`.

        Raises
        ------
        BundleError
            No such model, or it has no intervals.
        RecordError
            A required input is missing, or a value is not a number.
        """
        chosen = self.model(model)
        contract = chosen.contract
        values, outside = chosen.reader.read(record)
        assess = _needs_uncertainty(contract, uncertainty or prior_log_odds is not None)
        output = chosen.predict_row(values, prior_log_odds, uncertainty=assess)
        prediction = predict(output, bool(outside), abstains=contract.abstains)
        return Score(prediction.probability, prediction.log_odds, outside, prediction.uncertainty)

    def posterior(self, model: str, log_odds: float, *, cell: int | str) -> Posterior:
        """Fuse a score with the area prior of its place.

        Parameters
        ----------
        model
            Name of the model that gave the score: `sensor_threat`.
        log_odds
            Of the score, without a prior.
        cell
            H3 cell of the place, as a number or as H3 writes it, at `prior.terms.resolution`.

        Raises
        ------
        BundleError
            No such model.
        RecordError
            The cell is no number and no hexadecimal text.
        """
        prior = self.prior.at(cell) if self.prior else None
        return fuse(log_odds, prior, base_rate=self.model(model).contract.base_rate)


def _needs_uncertainty(contract: Contract, requested: bool) -> bool:
    """Return whether the graph must give interval and novelty; raise `BundleError` where it cannot."""
    if requested and contract.uncertainty is None:
        raise BundleError(f"{contract.model}: no intervals, novelty or fusion in its contract")
    return requested or contract.abstains


def _complete(inputs: tuple[Input, ...], columns: Mapping[str, npt.ArrayLike]) -> dict[str, npt.NDArray[np.float64]]:
    """Return every input's column as float64, in the contract's order; NaN where an optional one was left out."""
    names = [entry.name for entry in inputs]
    for name, values in columns.items():
        if name not in names:
            raise RecordError(f"unknown column {name!r}{near_miss(name, names)}; expected some of {names}")
        to_float32(name, values)  # refuses text and the like before numpy can make numbers of it
    given = {name: np.asarray(unmasked(values), dtype=np.float64) for name, values in columns.items()}
    rows = max((len(values) for values in given.values()), default=0)
    for entry in inputs:
        if not entry.required:
            given.setdefault(entry.name, np.full(rows, np.nan))
        elif entry.name not in given:
            raise RecordError(f"{entry.name}: column is missing; expected numbers (it is required)")
        elif (missing := np.isnan(given[entry.name])).any():
            raise RecordError(f"{entry.name}: row {np.argmax(missing)} is missing; expected a number (it is required)")
    return {name: given[name] for name in names}


def _outside(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.bool_]:
    outside: npt.NDArray[np.bool_] = (values < low) | (values > high)  # a missing value, NaN, is neither
    return outside
