"""dvc.yaml lists what its stages really read: a change of code or params reruns what it touches, and nothing else."""

from pathlib import Path

import pytest
import yaml

from pipeline.runtime import code_closure

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# reached from a stage's main, but no part of what it writes: see the note at the top of dvc.yaml
NOT_A_DEPENDENCY = ("pipeline.tracking",)


def modules_of(stage: str) -> list[str]:
    files = (ROOT / "pipeline" / stage).rglob("*.py")
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


def closure(stage: str) -> set[str]:
    """Return every one of our files that running a stage may execute."""
    modules = code_closure.closure(*modules_of(stage), without=NOT_A_DEPENDENCY)
    return {file.relative_to(ROOT).as_posix() for file in modules.values()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_exactly_the_code_it_imports(stage: str) -> None:
    listed = {path for path in STAGES[stage]["deps"] if path.split("/")[0] in ("pipeline", "serving")}
    needed = closure(stage) - {"pipeline/__init__.py", "serving/threat_scorer/__init__.py"}
    not_listed = {f for f in needed if not any(f == path or f.startswith(f"{path}/") for path in listed)}
    not_needed = {path for path in listed if not any(f == path or f.startswith(f"{path}/") for f in needed)}
    assert (not_listed, not_needed) == (set(), set())


def test_every_stage_is_a_package_with_its_own_name() -> None:
    for stage, definition in STAGES.items():
        assert definition["cmd"].startswith(f"python -m pipeline.{stage} ")


def test_no_stage_imports_another() -> None:
    for stage in STAGES:
        others = {f for f in closure(stage) if f.split("/")[1] in set(STAGES) - {stage}}
        assert not others, f"{stage} imports {sorted(others)}"
