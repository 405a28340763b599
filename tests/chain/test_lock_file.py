"""dvc.lock in one order, and a difference of bytes alone told from every other."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chain import lock_file, plan
from pipeline.params import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "dvc.lock").read_text()
Lock = dict[str, Any]


def part(path: str, digest: str = "0") -> dict[str, str]:
    return {"path": path, "hash": "md5", "md5": digest}


LOCK: Lock = {
    "schema": "2.0",
    "stages": {
        "features@d-m": {
            "cmd": "f",
            "deps": [part("pipeline/features")],
            "params": {"params.yaml": {"features": {"rings": 2}}},
            "outs": [part("data/features/d/m")],
        },
        "train@d-m": {
            "cmd": "t",
            "deps": [part("data/features/d/m"), part("pipeline/train")],
            "params": {"params.yaml": {"train.m": {"seed": 7}}},
            "outs": [part("models/d/m")],
        },
        "report@d": {
            "cmd": "r",
            "deps": [part("data/features/d"), part("models/d"), part("pipeline/report")],
            "outs": [part("reports/d/index.html")],
        },
    },
}


def dumped(lock: Lock) -> str:
    return str(yaml.safe_dump(lock, sort_keys=False))


def digest(stage: str, key: str, number: int) -> Callable[[Lock], None]:
    def change(lock: Lock) -> None:
        lock["stages"][stage][key][number]["md5"] = "1"

    return change


def another_processor(lock: Lock) -> None:
    digest("train@d-m", "outs", 0)(lock)
    digest("report@d", "deps", 1)(lock)
    digest("report@d", "outs", 0)(lock)


def other_params(lock: Lock) -> None:
    lock["stages"]["train@d-m"]["params"]["params.yaml"]["train.m"]["seed"] = 8


def other_command(lock: Lock) -> None:
    lock["stages"]["train@d-m"]["cmd"] = "t --again"


def another_stage(lock: Lock) -> None:
    lock["stages"]["train@d-n"] = lock["stages"]["train@d-m"]


def differs(change: Callable[[Lock], None]) -> bool:
    changed = copy.deepcopy(LOCK)
    change(changed)
    return lock_file.differ_in_bytes_only(dumped(LOCK), dumped(changed))


def test_other_bytes_of_a_stage_that_promises_none_are_a_difference_of_bytes_alone() -> None:
    assert differs(another_processor)


@pytest.mark.parametrize(
    "change",
    [
        digest("train@d-m", "deps", 1),  # other code
        digest("features@d-m", "outs", 0),  # other bytes, of a stage that promises the same
        digest("train@d-m", "deps", 0),
        digest("report@d", "deps", 0),
        other_params,
        other_command,
        another_stage,
        lambda lock: None,
    ],
)
def test_every_other_difference_is_not(change: Callable[[Lock], None]) -> None:
    assert not differs(change)
    assert not differs(lambda lock: (another_processor(lock), change(lock), None)[2]) or change.__name__ == "<lambda>"


@given(st.permutations(list(LOCK["stages"])))
def test_the_order_of_the_entries_is_one_for_any_that_came(names: list[str]) -> None:
    shuffled = {**LOCK, "stages": {name: LOCK["stages"][name] for name in names}}
    text = lock_file.in_order(dumped(shuffled))
    assert text == lock_file.in_order(dumped(LOCK))
    assert list(yaml.safe_load(text)["stages"]) == sorted(names)
    assert lock_file.same(text, dumped(LOCK))


def test_our_own_lock_loses_nothing_by_being_sorted() -> None:
    text = lock_file.in_order(TEXT)
    assert lock_file.same(text, TEXT)
    assert lock_file.in_order(text) == text
    assert len(text) == len(TEXT)


def test_the_stages_that_promise_their_bytes_are_those_of_the_design() -> None:
    design = (ROOT / "docs/design.md").read_text()
    promised = ", ".join(f"`{name}`" for name in lock_file.PORTABLE[:-1]) + f" and `{lock_file.PORTABLE[-1]}`"
    assert f"{promised} promise" in " ".join(design.split())


def test_a_changed_stage_of_the_whole_dataset_runs_every_model_and_the_longest_first() -> None:
    models = load(ROOT / "params.yaml").dataset("simulated").models
    assert plan.models_to_run(["ingest@simulated"], "simulated", models)[:3] == [
        "area_risk_7d",
        "area_risk_28d",
        "area_risk_84d",
    ]
    changed = ["train@simulated-sensor_threat", "evaluate@simulated-area_risk_84d", "report@simulated"]
    assert plan.models_to_run(changed, "simulated", models) == ["area_risk_84d", "sensor_threat"]
    assert plan.models_to_run(["report@simulated"], "simulated", models) == []
