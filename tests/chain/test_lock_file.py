"""dvc.lock in one order, whatever the order in which the stages ended."""

from pathlib import Path
from typing import Any

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
