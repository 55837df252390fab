"""The documentation site: every package has its page of API reference; a dead link or a wrong name stops the build."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
import site_pages

import segue

ROOT = Path(__file__).parents[2]
GENERATOR = Path(sys.executable).parent / "zensical"
NEEDS_GENERATOR = pytest.mark.skipif(not GENERATOR.exists(), reason="the tools for the site are not installed")


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


@pytest.fixture
def small_site(tmp_path: Path) -> Path:
    """Pages of every kind of the site, few enough to be built in a moment: the first one, a guide, an API reference."""
    for folder in ("src", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    texts = {
        "README.md": "# Start\n\n[a](docs/guide/settings.md#a-heading) and [`b`][segue.system.exit_codes]\n",
        "docs/guide/settings.md": "# Settings\n\n## A heading\n",
        "api/segue.system.md": "# segue.system\n\n::: segue.system.exit_codes\n",
    }
    build = tmp_path / "build"
    for name, text in texts.items():
        page = build / "pages" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
    site_pages.configure(build, [{name: name} for name in texts])
    return build


@NEEDS_GENERATOR
def test_a_site_without_dead_links_builds(small_site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert site_pages.generate(small_site) == 0, capsys.readouterr().out
    assert len(list((small_site / "site").rglob("*.html"))) >= 3


@NEEDS_GENERATOR
def test_every_dead_link_is_noticed(small_site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["[a](nothing.md)", "[a](docs/guide/settings.md#nothing)", "[`a`][segue.graph.nothing]", "[a](#nothing)"]
    page = small_site / "pages" / "README.md"
    good = page.read_text(encoding="utf-8").splitlines()
    page.write_text("\n".join([*good, "", *bad]), encoding="utf-8")
    assert site_pages.generate(small_site) != 0
    named = re.findall(r"README\.md:(\d+):", capsys.readouterr().out)
    assert sorted(map(int, named)) == [len(good) + 1 + place for place in range(1, len(bad) + 1)]


@NEEDS_GENERATOR
def test_a_page_that_fetches_is_refused(small_site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = small_site / "pages" / "README.md"
    page.write_text('# Start\n\n<img src="https://example.org/x.png">\n', encoding="utf-8")
    assert site_pages.generate(small_site) == 1
    assert "from another server: <img" in capsys.readouterr().out


@pytest.mark.slow  # `make check`, with which `make test` begins, builds the whole site too
@NEEDS_GENERATOR
def test_the_whole_site_builds_and_fetches_nothing(laid_out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert site_pages.generate(laid_out) == 0, capsys.readouterr().out
    assert len(list((laid_out / "site").rglob("*.html"))) > 100
