"""What a result's code is made of: every module of ours that it imports, whatever the way, and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.runtime import code_closure

Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a writer of the modules of a package `house`, which is ours."""

    def write(sources: dict[str, str]) -> None:
        for name, source in {"__init__": "", **sources}.items():
            file = tmp_path / "house" / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        forget()

    def forget() -> None:
        code_closure.module_file.cache_clear()
        code_closure.imports.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(code_closure, "PACKAGES", ("house",))
    yield write
    forget()


@pytest.mark.parametrize(
    "statement",
    [
        "import house.room.wall",
        "import house.room.wall as wall",
        "from house.room import wall",
        "from house.room.wall import paint",
        "def later():\n    from house.room.wall import paint\n    return paint",
    ],
)
def test_a_module_counts_however_it_is_imported(write: Write, statement: str) -> None:
    write({"door": statement, "room/__init__": "", "room/wall": "import os\npaint = 1", "cellar": ""})
    assert list(code_closure.closure("house.door")) == ["house", "house.door", "house.room", "house.room.wall"]


def test_a_module_counts_through_others_and_a_circle_ends(write: Write) -> None:
    write({"a": "from house import b", "b": "from house import c", "c": "from house import a", "d": ""})
    assert list(code_closure.closure("house.a")) == ["house", "house.a", "house.b", "house.c"]


def test_what_a_package_imports_when_a_name_is_looked_up_does_not_count(write: Write) -> None:
    write({"room/__init__": "def __getattr__(name):\n    from house import heavy", "room/wall": "", "heavy": ""})
    assert list(code_closure.closure("house.room.wall")) == ["house", "house.room", "house.room.wall"]


def test_a_module_left_out_takes_with_it_what_only_it_imports(write: Write) -> None:
    write({"a": "from house import b, c", "b": "from house import d", "c": "", "d": ""})
    assert list(code_closure.closure("house.a", without=["house.b"])) == ["house", "house.a", "house.c"]


def test_the_digest_changes_with_code_that_is_imported_and_with_no_other(write: Write) -> None:
    write({"a": "from house import b", "b": "", "other": ""})
    before = code_closure.digest("house.a")
    write({"other": "changed = 1"})
    assert code_closure.digest("house.a") == before
    write({"b": "changed = 1"})
    assert code_closure.digest("house.a") != before


def test_a_name_that_is_no_module_of_ours_is_an_error(write: Write) -> None:
    write({"a": ""})
    for name in ("house.absent", "json"):
        with pytest.raises(ModuleNotFoundError, match=name):
            code_closure.closure(name)
