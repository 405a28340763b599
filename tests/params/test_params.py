"""params.yaml is read strictly: a slip of the pen is an error that names the key, never a default."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params import Params, load
from pipeline.params.declarations import declare, read_declaration
from pipeline.runtime.errors import DeclarationError

ROOT = Path(__file__).parents[2]
Values = dict[str, Any]


@pytest.fixture(scope="module")
def written() -> Values:
    values: Values = yaml.safe_load((ROOT / "params.yaml").read_text())
    return values


def test_the_projects_own_file_is_valid_and_chooses_a_dataset_it_declares() -> None:
    params = load(ROOT / "params.yaml")
    assert params.run.models == params.dataset(params.run.dataset).models


def misspelt(values: Values) -> None:
    values["train"]["area_risk_28d"]["num_leave"] = 3


def out_of_range(values: Values) -> None:
    values["datasets"]["colombia"]["theatre"]["h3_resolution"] = 22


def undeclared_modality(values: Values) -> None:
    values["datasets"]["colombia"]["sensor_threat"]["modalities"] = ["magnetometr"]


def south_of_north(values: Values) -> None:
    values["datasets"]["colombia"]["theatre"]["bounds"]["south_deg"] = 50


def a_code_that_cannot_be_judged(values: Values) -> None:
    values["admiralty"]["reliability"]["F"] = 0.5


def worse_code_weighs_more(values: Values) -> None:
    values["admiralty"]["credibility"][5] = 0.5


def zone_of_no_place(values: Values) -> None:
    values["datasets"]["colombia"]["theatre"]["zone"] = "America/Bogotá"


def unknown_border(values: Values) -> None:
    values["datasets"]["simulated"]["theatre"]["border"] = "sim_boarder"


def a_horizon_that_nothing_fits(values: Values) -> None:
    values["datasets"]["colombia"]["area_risk"]["horizons_days"][14] = {"cutoff_every_days": 14}


def bound_of_nothing(values: Values) -> None:
    values["tune"]["area_risk"]["num_leave"] = {"low": 2, "high": 9}


def bound_that_no_fit_allows(values: Values) -> None:
    values["tune"]["area_risk"]["feature_fraction"]["high"] = 1.5


def bound_between_whole_numbers(values: Values) -> None:
    values["tune"]["area_risk"]["num_leaves"]["low"] = 2.5


def bound_from_high_to_low(values: Values) -> None:
    values["tune"]["area_risk"]["learning_rate"] = {"low": 0.1, "high": 0.01}


def seed_searched_for(values: Values) -> None:
    values["tune"]["area_risk"]["seed"] = {"low": 1, "high": 100}


def old_name(values: Values) -> None:
    section = values["train"]["area_risk_28d"]
    section["rehearsals"] = section.pop("calibration_blocks")


def split_before_training(values: Values) -> None:
    values["datasets"]["colombia"]["area_risk"]["test_from"] = "2001-01-01"


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (misspelt, "train.area_risk.area_risk_28d.num_leave: unknown key; did you mean 'num_leaves'?"),
        (out_of_range, "datasets.colombia.theatre.h3_resolution: got 22; "),
        (undeclared_modality, "'magnetometr', which is not declared under modalities; did you mean 'magnetometer'?"),
        (south_of_north, "expected south_deg < north_deg"),
        (a_code_that_cannot_be_judged, "admiralty: reliability: expected A, B, C, D, E, none weighing more"),
        (worse_code_weighs_more, "admiralty: credibility: expected 1, 2, 3, 4, 5, none weighing more"),
        (zone_of_no_place, "datasets.colombia.theatre.zone: got 'America/Bogotá'; expected an IANA time zone"),
        (unknown_border, "theatre.border is 'sim_boarder'; expected one of the sources; did you mean 'sim_border'?"),
        (a_horizon_that_nothing_fits, "train has no section area_risk_14d, which datasets.colombia.area_risk asks for"),
        (bound_of_nothing, "tune: area_risk names 'num_leave'; did you mean 'num_leaves'?"),
        (
            bound_that_no_fit_allows,
            "tune: area_risk.feature_fraction: got 1.5; input should be less than or equal to 1",
        ),
        (bound_between_whole_numbers, "tune: area_risk.num_leaves: got 2.5; input should be a valid integer"),
        (bound_from_high_to_low, "tune.area_risk.learning_rate: got 0.1 to 0.01, linear; expected low < high"),
        (seed_searched_for, "tune: area_risk names 'seed'"),
        (old_name, "rehearsals: renamed calibration_blocks; expected it under that name"),
        (split_before_training, "expected history_from <= train_from < test_from < test_until"),
    ],
)
def test_a_fault_is_named(written: Values, plant: Callable[[Values], None], expected: str) -> None:
    values = copy.deepcopy(written)
    plant(values)
    with pytest.raises(DeclarationError) as refused:
        declare(values, Params, where="params.yaml")
    assert expected in str(refused.value)
    assert str(refused.value).startswith("params.yaml: ")


def test_a_missing_key_is_named(written: Values) -> None:
    values = copy.deepcopy(written)
    del values["train"]["sensor_threat"]["seed"]
    with pytest.raises(DeclarationError, match=r"train\.sensor_threat\.seed: missing"):
        declare(values, Params, where="params.yaml")


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("run: {}\nrun: {}\n")
    with pytest.raises(DeclarationError, match="key 'run' is given twice"):
        read_declaration(file, Params)


def test_an_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'colombia'"):
        load(ROOT / "params.yaml").dataset("columbia")


def test_each_horizon_is_a_model_and_planners_see_the_first() -> None:
    params = load(ROOT / "params.yaml")
    models = [name for name in params.dataset("simulated").models if name != "sensor_threat"]
    assert models == ["area_risk_28d", "area_risk_7d", "area_risk_84d"]
    assert [params.area_task("simulated", model).horizon_days for model in models] == [28, 7, 84]
    assert params.planners_model("simulated") == "area_risk_28d"
    assert params.area_task("simulated", "area_risk_7d").zone == "UTC"
    assert params.area_task("colombia", "area_risk_7d").zone == "America/Bogota"  # as the theatre's
    with pytest.raises(
        DeclarationError, match=r"datasets\.simulated has no model 'area_risk_14d'; did you mean 'area_risk_84d'"
    ):
        params.area_task("simulated", "area_risk_14d")
    with pytest.raises(DeclarationError, match=r"datasets\.sonar has no area_risk"):
        params.planners_model("sonar")
