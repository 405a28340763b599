"""params.yaml is read strictly: a slip of the pen is an error that names the key, never a default."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params import Params, load
from pipeline.params.declarations import declare, read_declaration
from pipeline.runtime import code_closure
from pipeline.runtime.errors import DeclarationError

ROOT = Path(__file__).parents[2]
Values = dict[str, Any]


@pytest.fixture(scope="module")
def written() -> Values:
    values: Values = yaml.safe_load((ROOT / "params.yaml").read_text())
    return values


def test_the_projects_own_file_is_valid_and_chooses_a_dataset_it_declares() -> None:
    params = load(ROOT / "params.yaml")
    assert params.run.models == list(params.dataset(params.run.dataset).models)


def misspelt(values: Values) -> None:
    values["train"]["area_risk_28d"]["num_leave"] = 3


def out_of_range(values: Values) -> None:
    values["datasets"]["colombia"]["theatre"]["h3_resolution"] = 22


def undeclared_modality(values: Values) -> None:
    both = values["datasets"]["colombia"]["modalities"]  # the model's are the same object, by alias
    both["magnetometr"] = both.pop("magnetometer")


def modality_that_is_no_alias(values: Values) -> None:
    values["modalities"]["magnetometer"] = {**values["modalities"]["magnetometer"]}
    values["modalities"]["magnetometer"].pop("height")


def model_of_other_modalities(values: Values) -> None:
    values["datasets"]["colombia"]["models"]["sensor_threat"]["modalities"] = {"emi": values["modalities"]["emi"]}


def bands_that_count_down(values: Values) -> None:
    sonar = values["modalities"]["sonar"]
    sonar["band_60..band_01"] = sonar.pop("band_01..band_60")


def a_band_given_twice(values: Values) -> None:
    values["modalities"]["sonar"]["band_60"] = values["modalities"]["sonar"]["band_01..band_60"]


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
    models = values["datasets"]["colombia"]["models"]
    models["area_risk_14d"] = {**models["area_risk_28d"], "horizon_days": 14}


def a_horizon_under_the_name_of_another(values: Values) -> None:
    values["datasets"]["colombia"]["models"]["area_risk_7d"]["horizon_days"] = 14


def a_horizon_of_which_the_truth_says_nothing(values: Values) -> None:
    values["simulate"]["horizons_days"] = [28, 7]


def a_test_after_the_end_of_the_simulation(values: Values) -> None:
    values["simulate"]["until"] = "2022-12-31"


def a_model_that_looks_back_too_far(values: Values) -> None:
    values["datasets"]["colombia"]["models"]["area_risk_28d"]["history_from"] = "1899-01-01"


def area_models_without_ground(values: Values) -> None:
    values["datasets"]["colombia"]["theatre"] = None


def misspelt_in_a_model(values: Values) -> None:
    values["datasets"]["colombia"]["models"]["area_risk_7d"]["cutof_every_days"] = 7


def misspelt_in_the_sensors_model(values: Values) -> None:
    values["datasets"]["sonar"]["models"]["sensor_threat"]["random_group"] = 7


def a_key_that_dvc_would_miss(values: Values) -> None:
    del values["datasets"]["sonar"]["theatre"]


def the_horizons_of_the_release_before(values: Values) -> None:
    values["datasets"]["colombia"]["area_risk"] = {"horizons_days": {28: {"cutoff_every_days": 28}}}


def the_sensors_of_the_release_before(values: Values) -> None:
    values["datasets"]["colombia"]["sensor_threat"] = {"modalities": ["magnetometer"]}


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


def old_export(values: Values) -> None:
    section = values["export"]
    section |= {"form": section.pop("variant"), "reasons": section.pop("explanations")}


def old_name(values: Values) -> None:
    section = values["train"]["area_risk_28d"]
    section["rehearsals"] = section.pop("calibration_blocks")


def split_before_training(values: Values) -> None:
    values["datasets"]["colombia"]["models"]["area_risk_28d"]["test_from"] = "2001-01-01"


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (misspelt, "train.area_risk.area_risk_28d.num_leave: unknown key; did you mean 'num_leaves'?"),
        (out_of_range, "datasets.colombia.theatre.h3_resolution: got 22; "),
        (
            undeclared_modality,
            "datasets.colombia.modalities.magnetometr is not declared under modalities; did you mean 'magnetometer'?",
        ),
        (modality_that_is_no_alias, "modalities.magnetometer: expected modalities.magnetometer as it is, by a YAML"),
        (model_of_other_modalities, "models.sensor_threat.modalities: expected the same as in modalities, by a YAML"),
        (
            bands_that_count_down,
            "modalities.sonar: got the range 'band_60..band_01'; expected one word and two numbers",
        ),
        (a_band_given_twice, "modalities.sonar: 'band_60' gives 'band_60' a second time; expected each name once"),
        (south_of_north, "expected south_deg < north_deg"),
        (a_code_that_cannot_be_judged, "admiralty: reliability: expected A, B, C, D, E, none weighing more"),
        (worse_code_weighs_more, "admiralty: credibility: expected 1, 2, 3, 4, 5, none weighing more"),
        (zone_of_no_place, "datasets.colombia.theatre.zone: got 'America/Bogotá'; expected an IANA time zone"),
        (unknown_border, "theatre.border is 'sim_boarder'; expected one of the sources; did you mean 'sim_border'?"),
        (a_horizon_that_nothing_fits, "train has no section area_risk_14d, which datasets.colombia.models asks for"),
        (
            a_horizon_under_the_name_of_another,
            "models.area_risk_7d: expected the name area_risk_14d of what it declares",
        ),
        (
            a_horizon_of_which_the_truth_says_nothing,
            "datasets.simulated.models.area_risk_84d looks 84 days ahead; expected one of simulate.horizons_days",
        ),
        (a_test_after_the_end_of_the_simulation, "test_until is 2023-01-01; expected no later than simulate.until"),
        (a_model_that_looks_back_too_far, "its days are of 1899 to 2022; expected within theatre.years, 1900 to 2047"),
        (area_models_without_ground, "models.area_risk_28d: the dataset has no theatre; expected its bounds and cells"),
        (
            misspelt_in_a_model,
            "datasets.colombia.models.area_risk_7d.cutof_every_days: unknown key; did you mean 'cutoff_every_days'?",
        ),
        (
            misspelt_in_the_sensors_model,
            "datasets.sonar.models.sensor_threat.random_group: unknown key; did you mean 'random_groups'?",
        ),
        (a_key_that_dvc_would_miss, "datasets.sonar.theatre: missing; expected a value"),
        (
            the_horizons_of_the_release_before,
            "datasets.colombia.area_risk: renamed models.area_risk_28d and so on, a section for each horizon",
        ),
        (
            the_sensors_of_the_release_before,
            "datasets.colombia.sensor_threat: renamed models.sensor_threat, with the dataset's modalities",
        ),
        (bound_of_nothing, "tune: area_risk names 'num_leave'; did you mean 'num_leaves'?"),
        (
            bound_that_no_fit_allows,
            "tune: area_risk.feature_fraction: got 1.5; input should be less than or equal to 1",
        ),
        (bound_between_whole_numbers, "tune: area_risk.num_leaves: got 2.5; input should be a valid integer"),
        (bound_from_high_to_low, "tune.area_risk.learning_rate: got 0.1 to 0.01, linear; expected low < high"),
        (seed_searched_for, "tune: area_risk names 'seed'"),
        (old_name, "rehearsals: renamed calibration_blocks; expected it under that name"),
        (old_export, "export.form: renamed variant; expected it under that name"),
        (old_export, "export.reasons: renamed explanations; expected it under that name"),
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
    with pytest.raises(DeclarationError, match=r"datasets\.sonar\.models has no model of area risk"):
        params.planners_model("sonar")
    assert params.kind("simulated", "area_risk_84d") == "area_risk"
    assert params.kind("simulated", "sensor_threat") == "sensor_threat"


def test_a_range_of_names_stands_for_each_of_them_in_order() -> None:
    assert list(load(ROOT / "params.yaml").measured("sonar")) == [f"band_{number:02d}" for number in range(1, 61)]


def test_the_params_need_no_code_of_the_device() -> None:
    assert not [name for name in code_closure.closure("pipeline.params") if name.startswith("threat_scorer")]
