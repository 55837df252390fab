"""The documentation site: every package has its page of API reference; a dead link or a wrong name stops the build."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import site_pages

import segue

ROOT = Path(__file__).parents[2]
GENERATOR = Path(sys.executable).parent / "zensical"


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """A folder with the pages and the configuration, ready to be built."""
    for folder in ("src", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    build = tmp_path / "build"
    site_pages.lay_out(build)
    return build


def test_every_package_has_a_page_with_all_its_modules(laid_out: Path) -> None:
    folders = [init.parent for init in (ROOT / "src" / "segue").rglob("__init__.py")]
    for folder in folders:
        package = ".".join(folder.relative_to(ROOT / "src").parts)
        page = laid_out / "pages" / "api" / f"{'index' if package == 'segue' else package}.md"
        text = page.read_text(encoding="utf-8")
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
        assert {module for module in modules if f"\n::: {package}.{module}\n" not in text} == set()


def test_the_public_names_are_listed_with_their_homes(laid_out: Path) -> None:
    text = (laid_out / "pages" / "api" / "index.md").read_text(encoding="utf-8")
    assert [name for name in segue.__all__ if f"- [`segue.{name}`][segue." not in text] == ["__version__"]


def test_every_page_is_in_the_navigation(laid_out: Path) -> None:
    navigation = repr(tomllib.loads((laid_out / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    pages = [page.relative_to(laid_out / "pages").as_posix() for page in (laid_out / "pages").rglob("*.md")]
    assert [page for page in pages if f"'{page}'" not in navigation] == []


def test_names_become_links_outside_code_only() -> None:
    text = "see `segue.graph.tables` and `segue._private`\n\n    `segue.graph`\n\n```python\n`segue.nn`\n```\n"
    assert site_pages.linked(text) == text.replace("`segue.graph.tables`", "[`segue.graph.tables`][segue.graph.tables]")


def test_a_link_to_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="leads to no file"):
        site_pages.bring_files("[a](../benchmarks/nothing.py)", Path("docs/demo.md"), tmp_path)


@pytest.mark.skipif(not GENERATOR.exists(), reason="the tools for the site are not installed")
def test_the_site_builds_fetches_nothing_and_notices_dead_links(
    laid_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site_pages.generate(laid_out) == 0, capsys.readouterr().out
    built = [page.read_text(encoding="utf-8") for page in (laid_out / "site").rglob("*.html")]
    assert built
    assert [
        tag for page in built for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*https?://[^>]*>", page)
    ] == []
    page = laid_out / "pages" / "docs" / "paper-map.md"
    kept = laid_out / "kept.md"
    shutil.copy(page, kept)
    for bad in ("[a](nothing.md)", "[a](guide/settings.md#nothing)", "[`a`][segue.graph.nothing]", "[a](#nothing)"):
        page.write_text(f"{kept.read_text(encoding='utf-8')}\n{bad}\n", encoding="utf-8")
        assert site_pages.generate(laid_out) != 0, bad
