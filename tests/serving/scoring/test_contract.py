"""Contracts: what is written is what is read, and a malformed one is refused by the name of the field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.json_values import json_values
from support.tiny_bundle import AREA, CONTRACT

from threat_scorer.scoring.contract import Contract, ContractError

FIELDS = json.loads(CONTRACT.to_json())


@pytest.mark.parametrize("contract", [CONTRACT, AREA])
def test_a_contract_is_read_as_it_was_written(contract):
    assert Contract.from_json(contract.to_json()) == contract


def edited(**fields):
    return json.dumps({**FIELDS, **fields})


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"version"}))
def test_a_missing_field_is_named(field):
    text = json.dumps({key: value for key, value in FIELDS.items() if key != field})
    with pytest.raises(ContractError, match=field):
        Contract.from_json(text)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_field_of_the_wrong_type_is_named(field):
    with pytest.raises(ContractError, match=field):
        Contract.from_json(edited(**{field: {"unlike": [None]}}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (edited(colour="red"), "colour"),
        (edited(version=2), "version: got 2; expected 3: export the model again"),
        (edited(simulated=1), r"simulated: got 1; expected true or false"),
        (edited(horizon_days=True), r"horizon_days: got True; expected an integer"),
        (edited(horizon_days=0), "horizon_days"),
        (edited(base_rate=1.0), "base_rate"),
        (edited(base_rate="0.5"), "base_rate: got '0.5'; expected a number"),
        (edited(base_rate=10**400), "base_rate"),
        (edited(operating_points={"balanced": 1.5}), "operating point balanced"),
        (edited(features=[]), "features"),
        (edited(features=["a", "a"]), "each name once"),
        (edited(inputs=[]), "inputs"),
        (edited(inputs=[{**FIELDS["inputs"][0], "low": 2.0}]), "voltage low, high"),
        (edited(inputs=[{**FIELDS["inputs"][0], "high": 1e39}]), "voltage low, high"),
        (edited(inputs=[{**FIELDS["inputs"][0], "unlit": 1}]), r"inputs\[0\].*unlit"),
        (edited(marking={**FIELDS["marking"], "tlp": "WHITE"}), "tlp"),
        (edited(marking={**FIELDS["marking"], "releasable_to": "ALL"}), r"releasable_to: got 'ALL'; expected a list"),
        (CONTRACT.to_json().replace("0.25", "NaN"), "NaN"),
        (CONTRACT.to_json().replace("0.25", "1e999"), "base_rate: got inf"),
        (CONTRACT.to_json().replace('"dataset"', '"model"'), "'model' is given twice"),
        ("[" * 100_000, "nested too deeply"),
        ("", "not JSON"),
        ("[]", "expected a table of keys"),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused_by_field(text, message):
    with pytest.raises(ContractError, match=message):
        Contract.from_json(text)


@given(st.sampled_from(sorted(FIELDS)), json_values)
def test_no_value_of_any_field_gets_past_but_as_a_contract_that_is_written_the_same(field, value):
    try:
        contract = Contract.from_json(edited(**{field: value}))
    except ContractError:
        return
    assert Contract.from_json(contract.to_json()) == contract
