"""The pages name modules, files and settings that exist, and the architecture page names every room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dotted_names import code_spans, names_in, resolve

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "segue"
HAND_WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in [*HAND_WRITTEN, *sorted((ROOT / "docs").rglob("*.md"))]
}
NAMES = sorted({(page, name) for page, text in PAGES.items() for name in names_in(text)})
FILES = sorted(
    {
        (page, path)
        for page, text in PAGES.items()
        for span in code_spans(text)
        for path in re.findall(r"(?<![\w./:-])[\w.-]+(?:/[\w.-]+)*\.py\b|(?:src|tests|docs)/[\w./-]+", span)
    }
)


MADE_BY_THE_READER = {"src/segue/models/successors.py"}
"""Files that a page tells its reader to write."""


def exists(path: str) -> bool:
    """Whether a path on a page is one of the repository, of the package, or a file at some place in the package."""
    return path in MADE_BY_THE_READER or (ROOT / path).exists() or (PACKAGE / path).exists()


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_the_dotted_name_exists(page: str, name: str) -> None:
    assert resolve(name) is not None


@pytest.mark.parametrize(("page", "path"), FILES)
def test_the_file_exists(page: str, path: str) -> None:
    assert exists(path)


def test_a_wrong_name_and_a_wrong_file_would_be_noticed() -> None:
    with pytest.raises(AttributeError):
        resolve("segue.graph.relations.no_such_function")
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        resolve("segue.no_such_module.thing")
    assert not exists("data/no_such_module.py")


def test_the_architecture_names_every_folder_of_the_package() -> None:
    rows = re.findall(r"^\| `([\w/]+)/` \|", PAGES["docs/guide/architecture.md"], re.MULTILINE)
    folders = [init.parent.relative_to(PACKAGE).as_posix() for init in PACKAGE.rglob("__init__.py")]
    assert sorted(rows) == sorted(folder for folder in folders if folder != ".")


def test_the_glossary_names_things_that_the_code_uses() -> None:
    """Words in backticks in the first column are identifiers; each occurs in the source."""
    cells = re.findall(r"^\| (`.*?) \|", PAGES["docs/guide/glossary.md"], re.MULTILINE)
    words = [word for cell in cells for word in code_spans(cell)]
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert len(words) > 15
    assert [word for word in words if not re.search(rf"\b{word}\b", source)] == []
