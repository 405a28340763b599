"""What the documents point at exists, and the commands that they show are ours."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/*.md"), *ROOT.glob("serving/*.md"))
)


def names(documents: list[Path]) -> list[str]:
    return [document.relative_to(ROOT).as_posix() for document in documents]


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_link_inside_the_project_resolves(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", document.read_text(encoding="utf-8"))
    broken = [link for link in links if not (document.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_command_shown_is_one_that_we_have(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m (pipeline(?:\.[a-z_]+)+)", text))
    unknown = [m for m in modules if not list(ROOT.glob(m.replace(".", "/") + "*"))]
    targets = set(re.findall(r"(?m)(?:^|`)make ([a-z]+)", text)) - set(
        re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text())
    )
    assert (unknown, targets) == ([], set())
