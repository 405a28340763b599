"""dvc.yaml lists what its stages really read: a change of code or params reruns what it touches, and nothing else."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# reached from a stage's main, but no part of what it writes: see the note at the top of dvc.yaml
NOT_A_DEPENDENCY = {"pipeline/tracking/__init__.py"}


def module_file(name: str) -> Path | None:
    for base in (ROOT, ROOT / "serving"):
        path = base.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.exists():
                return file
    return None


def imports(file: Path) -> set[Path]:
    """Return our own modules that one file imports, wherever in it, and the packages that hold them."""
    found: set[Path] = set()
    tree = ast.parse(file.read_text())
    # a package's own functions run when a name is asked of it, not when a module inside it is imported
    nodes = tree.body if file.name == "__init__.py" else ast.walk(tree)
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] in ("pipeline", "threat_scorer"):
                parts = name.split(".")
                for depth in range(1, len(parts) + 1):
                    if module := module_file(".".join(parts[:depth])):
                        found.add(module)
    return found


def closure(stage: str) -> set[str]:
    """Return every one of our files that running a stage may execute."""
    waiting = set((ROOT / "pipeline" / stage).rglob("*.py"))
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        if file.relative_to(ROOT).as_posix() not in NOT_A_DEPENDENCY:
            waiting |= imports(file) - seen
    return {file.relative_to(ROOT).as_posix() for file in seen} - NOT_A_DEPENDENCY


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
