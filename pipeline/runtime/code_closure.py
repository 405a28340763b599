"""Names of our modules -> all modules of ours that they import, at any depth, and a digest of these.

Imports are read from the source, so nothing is executed and an import inside a function counts too.
"""

import ast
import hashlib
from collections.abc import Collection, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("pipeline", "threat_scorer")
"""The packages that are ours."""


def closure(*names: str, without: Collection[str] = ()) -> dict[str, Path]:
    """Return the file of every module that importing some modules may execute, these included, sorted by name.

    The packages that contain a module count, as importing it executes them.

    Parameters
    ----------
    names
        Modules or packages of ours, as ``pipeline.ingest.staging``. A package stands for its `__init__` alone.
    without
        Modules that are left out, with what only they import.

    Raises
    ------
    ModuleNotFoundError
        One of `names` is not a module of ours.

    Examples
    --------
    >>> list(closure("pipeline.runtime.errors"))
    ['pipeline', 'pipeline.runtime', 'pipeline.runtime.errors']
    """
    for name in names:
        if module_file(name) is None:
            raise ModuleNotFoundError(f"{name}: no such module in {' or '.join(PACKAGES)}", name=name)
    waiting = {module for name in names for module in _with_packages(name)}
    modules: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = module_file(name)
        if file is not None and name not in modules and name not in without:
            modules[name] = file
            waiting |= imports(file)
    return dict(sorted(modules.items()))


def digest(*names: str) -> str:
    """Return ``sha256:<hex>`` of the names and sources of all that `closure` finds: the code on which a result depends.

    Results that are stored under it are made again after any change of that code, and after no other.
    """
    state = hashlib.sha256()
    for name, file in closure(*names).items():
        source = file.read_bytes()
        state.update(f"{name} {len(source)}\n".encode() + source)
    return f"sha256:{state.hexdigest()}"


@cache
def module_file(name: str) -> Path | None:
    """Return the source of a module or package of ours; None where there is none of that name."""
    top, *inner = name.split(".")
    if top not in PACKAGES or (spec := find_spec(top)) is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*inner)
    # the name of a package is a folder's, and of a module a file's
    candidates = [path / "__init__.py", path.with_suffix(".py")] if inner else [path / "__init__.py"]
    return next((file for file in candidates if file.exists()), None)


@cache
def imports(file: Path) -> frozenset[str]:
    """Return our modules that one file imports, wherever in it, and the packages that contain them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    # a package's own functions run when a name is looked up in it, not when a module inside it is imported
    nodes = tree.body if file.name == "__init__.py" else ast.walk(tree)
    names = (name for node in nodes for name in _imported(node))
    return frozenset(module for name in names for module in _with_packages(name))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _with_packages(name: str) -> Iterator[str]:
    """Give the modules along a dotted name; its last part may be something inside a module."""
    parts = name.split(".")
    dotted = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    yield from (module for module in dotted if module_file(module) is not None)
