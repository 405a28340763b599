"""Params, the record of a fit and its rows -> the contract and golden rows inside the ONNX file."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, helper

from pipeline.export.gate.outputs import as_read
from pipeline.export.gate.parity import run, session
from pipeline.export.gate.rows import Rows
from pipeline.model.catalogue import Catalogue
from pipeline.model.fit_record import AnyFitRecord, SensorFitRecord
from pipeline.params import Params
from pipeline.runtime.errors import StageError
from threat_scorer.marking import Marking
from threat_scorer.scoring import contract as contracts
from threat_scorer.scoring import golden as goldens
from threat_scorer.scoring.contract import Contract, Input, UncertaintyPolicy
from threat_scorer.scoring.features import assemble
from threat_scorer.scoring.golden import Golden
from threat_scorer.scoring.kinds import kind_of


def contract(
    params: Params,
    *,
    dataset: str,
    model: str,
    fit: AnyFitRecord,
    catalogue: Catalogue,
    rows: Rows,
    operating_points: Mapping[str, float],
    booster_digest: str,
) -> Contract:
    """Return the contract of one fitted model.

    Parameters
    ----------
    fit
        The record of the fit.
    catalogue
        What each feature is, in the model's order.
    rows
        (rows, features) the model's rows: where its features are its inputs, their range is the valid range.
    operating_points
        As the parity gate settled them.
    """
    entry = params.dataset(dataset)
    return Contract(
        model=model,
        dataset=dataset,
        simulated=entry.simulated,
        inputs=_measured(params, dataset) if kind_of(model) == "sensor_threat" else _ranges(catalogue, rows),
        features=catalogue.names,
        groups=catalogue.groups,
        operating_points=dict(operating_points),
        base_rate=fit.base_rate,
        takes_prior=kind_of(model) == "sensor_threat",
        uncertainty=_uncertainty(params, fit),
        horizon_days=fit.horizon_days,
        training_data_digest=fit.features_digest,
        booster_digest=booster_digest,
        params_digest=_digest([dataclasses.asdict(entry), dataclasses.asdict(fit.params)]),
        marking=Marking(
            originator=fit.marking.originator,
            releasable_to=fit.marking.releasable_to,
            tlp=fit.marking.tlp,
        ),
    )


def golden(model: ModelProto, contract: Contract, made: Rows) -> Golden:
    """Return made rows and what the model gives for them.

    Parameters
    ----------
    made
        (rows, features): what stands in the columns of the inputs is kept, derived features follow from it.
    """
    inputs = {entry.name: made[:, contract.features.index(entry.name)] for entry in contract.inputs}
    _, features = assemble(contract.model, inputs)
    opened = session(model)
    probability, log_odds = run(opened, features)
    uncertainty = None
    if contract.uncertainty:
        interval, novelty = opened.run(["interval", "novelty"], {**as_read(opened, features), "assess": np.array(True)})
        uncertainty = np.concatenate([interval, novelty], axis=1)
    return Golden(features, probability.astype(np.float32), log_odds.astype(np.float32), uncertainty)


def with_metadata(model: ModelProto, contract: Contract, golden: Golden) -> bytes:
    """Return the bytes of the file that ships: the model with contract and golden rows in its metadata.

    Parameters
    ----------
    model
        As `graph.build` returns it; it stays as it is.
    contract, golden
        What the device must know of the model, and the rows on which the device checks it.
    """
    complete = ModelProto()
    complete.CopyFrom(model)
    helper.set_model_props(complete, {contracts.KEY: contract.to_json(), goldens.KEY: golden.to_json()})
    content: bytes = complete.SerializeToString(deterministic=True)
    return content


def agree_on_features(named: Mapping[str, Sequence[str]]) -> None:
    """Raise `StageError` unless every file that names the model's features names the same ones in the same order."""
    (first, expected), *others = named.items()
    for where, names in others:
        if list(names) != list(expected):
            column = next((i for i, (a, b) in enumerate(zip(names, expected, strict=False)) if a != b), None)
            difference = (
                f"{len(names)} features, expected {len(expected)}"
                if column is None
                else f"feature {column} is {names[column]!r}, expected {expected[column]!r}"
            )
            raise StageError(f"{where}: {difference}, as in {first}; run features and train again")


def _uncertainty(params: Params, fit: AnyFitRecord) -> UncertaintyPolicy | None:
    if not isinstance(fit, SensorFitRecord):
        return None
    return UncertaintyPolicy(
        interval_level=fit.interval.level,
        false_flags=fit.novelty.false_flags,
        abstains=params.export.on_novel == "abstain",
    )


def _measured(params: Params, dataset: str) -> tuple[Input, ...]:
    return tuple(
        Input(name, measured.unit, measured.low, measured.high, measured.required)
        for name, measured in params.measured(dataset).items()
    )


def _ranges(catalogue: Catalogue, rows: Rows) -> tuple[Input, ...]:
    """Return inputs that are the features themselves: as wide as the rows, required unless ever missing there."""
    inputs = []
    for feature, column in zip(catalogue.features, rows.T, strict=True):
        known = column[np.isfinite(column)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        inputs.append(Input(feature.name, feature.unit, low, high, required=not np.isnan(column).any()))
    return tuple(inputs)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
