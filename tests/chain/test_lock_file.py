"""dvc.lock in one order, whatever the order in which the stages ended."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chain import __main__ as chain
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


def on_another_processor(lock: Lock) -> Lock:
    """Return the lock of the same inputs where training gives other bytes, and all that follows from it."""
    other = copy.deepcopy(lock)
    stages = other["stages"]
    for files in (stages["train@d-m"]["outs"], stages["report@d"]["deps"][1:2], stages["report@d"]["outs"]):
        files[0]["md5"] = "of the other processor"
    return other


def test_other_digits_of_another_processor_are_told_from_every_other_change() -> None:
    here, there = dumped(LOCK), dumped(on_another_processor(LOCK))
    assert lock_file.differs_by_processor_alone(here, there)
    assert not lock_file.same(here, there)
    for stage, kind, index in (
        ("train@d-m", "deps", 0),  # features promise the same bytes
        ("train@d-m", "deps", 1),
        ("features@d-m", "outs", 0),
        ("report@d", "deps", 2),
    ):
        changed = on_another_processor(LOCK)
        changed["stages"][stage][kind][index]["md5"] = "changed"
        assert not lock_file.differs_by_processor_alone(here, dumped(changed)), (stage, kind)
    for key, value in (("cmd", "t --fast"), ("params", {})):
        changed = on_another_processor(LOCK)
        changed["stages"]["train@d-m"][key] = value
        assert not lock_file.differs_by_processor_alone(here, dumped(changed)), key
    fewer = on_another_processor(LOCK)
    del fewer["stages"]["report@d"]
    assert not lock_file.differs_by_processor_alone(here, dumped(fewer))


def test_our_own_lock_is_the_same_but_for_the_processor_whatever_training_gives() -> None:
    lock = yaml.safe_load(TEXT)
    made = [out for name, entry in lock["stages"].items() if name.startswith("train@") for out in entry["outs"]]
    for entry in lock["stages"].values():
        for file in (*entry.get("deps", []), *entry["outs"]):
            if file["path"] in {out["path"] for out in made}:
                file["md5"] = "of the other processor"
    assert made
    assert lock_file.differs_by_processor_alone(TEXT, dumped(lock))


def test_who_changes_nothing_sees_no_change_and_the_next_run_knows_what_was_made_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    committed, made_here = dumped(LOCK), dumped(on_another_processor(LOCK))
    chain.LOCK.write_text(made_here)
    chain._settle(committed)
    assert chain.LOCK.read_text() == committed
    chain._take_up(committed)
    assert yaml.safe_load(chain.LOCK.read_text()) == yaml.safe_load(made_here)
    chain._settle(committed)
    assert chain.LOCK.read_text() == committed
    changed = on_another_processor(LOCK)
    changed["stages"]["train@d-m"]["cmd"] = "t --fast"
    chain.LOCK.write_text(dumped(changed))
    chain._settle(committed)
    assert lock_file.same(chain.LOCK.read_text(), dumped(changed)), "a change of one's own is kept"
    chain._take_up(chain.LOCK.read_text())
    assert lock_file.same(chain.LOCK.read_text(), dumped(changed)), "what was made before the change is forgotten"


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
