"""The shape of the house: no circles, short chains of imports, small folders and modules, a flow that fits a screen."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = {"pipeline": ROOT, "threat_scorer": ROOT / "serving"}
FILES = {
    ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
    for name, root in PACKAGES.items()
    for file in sorted((root / name).rglob("*.py"))
}
FOLDERS = sorted(
    {file.parent for top in ("pipeline", "serving", "tests") for file in (ROOT / top).rglob("*.py")},
)

LONGEST_CHAIN = 10
MOST_FILES = 15
MOST_LINES = 300
MOST_DEPENDENCIES = 60
MOST_LOCK_LINES = 5000
NAMED_FROM = 3
"""Parameters from which on a docstring has a section of them."""


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(name: str) -> set[str]:
    """Return our modules that one imports by name, wherever in its file."""
    named: set[str] = set()
    for node in ast.walk(tree(FILES[name])):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= {each if each in FILES else node.module for each in inside}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    return named & set(FILES) - {name}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return {name: imports(name) for name in FILES}


def test_no_module_imports_itself_by_way_of_others(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' > '.join(error.args[1])}")


def test_no_chain_of_imports_is_long(graph: dict[str, set[str]]) -> None:
    chains: dict[str, list[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        chains[name] = [name, *max((chains[each] for each in graph[name]), key=len, default=[])]
    long = sorted((chain for chain in chains.values() if len(chain) > LONGEST_CHAIN), key=len)
    assert [" > ".join(chain) for chain in long] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=[shown(folder) for folder in FOLDERS])
def test_a_folder_is_read_at_a_glance(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= MOST_FILES


def test_a_module_has_one_subject() -> None:
    lengths = {shown(file): file.read_text(encoding="utf-8").count("\n") for file in FILES.values()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


@pytest.mark.parametrize("name", FILES)
def test_a_public_function_of_three_parameters_or_more_names_them(name: str) -> None:
    without = []
    for node in ast.walk(tree(FILES[name])):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            number = sum(argument.arg not in ("self", "cls") for argument in given)
            if number >= NAMED_FROM and "Parameters\n---" not in (ast.get_docstring(node) or ""):
                without.append(node.name)
    assert without == []


def test_dvc_yaml_lists_rooms_not_files() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert sum(len(stage["deps"]) for stage in stages.values()) <= MOST_DEPENDENCIES


def test_dvc_lock_holds_no_more_than_the_stages_need() -> None:
    assert (ROOT / "dvc.lock").read_text().count("\n") <= MOST_LOCK_LINES
