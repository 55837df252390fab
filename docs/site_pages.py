"""Build the documentation site: ``python docs/site_pages.py build`` writes it to build/site.

First the pages are laid out for the generator: `pages/`, in the folders of the repository, so that the links between
pages work in both places, and `zensical.toml`, which is docs/site.toml with the navigation. Two kinds of pages are made
here: one page of API reference per package of src/segue, and one for the names that ``import segue`` offers. A dotted
name of Segue in backticks becomes a link into the API reference, so a name that does not exist breaks the build.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "segue"
FRONT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
FIRST_GUIDES = ("architecture", "glossary", "logs", "settings", "settings-reference", "comparing", "adding-a-model")
"""The guides that the navigation names first; the others follow by name."""

Nav = list[dict[str, Any]]


def packages() -> Iterator[str]:
    """The dotted names of all packages below `segue`, parents before children."""
    for init in sorted(PACKAGE.rglob("__init__.py"), key=lambda path: path.parent.parts):
        yield ".".join(init.parent.relative_to(PACKAGE.parent).parts)


def public_names() -> list[str]:
    """The names in ``segue.__all__``, read without importing Segue."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    return [str(name) for name in ast.literal_eval(assigned["__all__"])]


def homes() -> dict[str, str]:
    """The full dotted name of every public name: where it is defined."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {
        alias.name: f"{node.module}.{alias.name}"
        for node in imports
        for alias in node.names
        if not alias.name.startswith("_")
    }


def linked(text: str) -> str:
    """A page whose dotted names of public things, in backticks, lead into the API reference. Code blocks stay."""
    parts = re.split(r"(^```.*?^```$|^(?: {4}.*\n)+)", text, flags=re.DOTALL | re.MULTILINE)
    name = r"(?<![\[`])`(segue(?:\.(?!_)\w+)+)`(?!`)"
    return "".join(part if number % 2 else re.sub(name, r"[`\1`][\1]", part) for number, part in enumerate(parts))


def title(page: Path) -> str:
    """The first heading of a page."""
    found = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else page.stem


def write_pages(pages: Path) -> None:
    """Copy every page and what pages link to, and write the API reference."""
    shutil.copytree(DOCS, pages / "docs", ignore=shutil.ignore_patterns("*.py", "site.toml", "__pycache__"))
    (pages / "benchmarks").mkdir()
    for name in FRONT:
        shutil.copy(ROOT / name, pages / name)
    for page in sorted(pages.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        bring_files(text, page.relative_to(pages), pages)
        page.write_text(linked(text), encoding="utf-8")
    api = pages / "api"
    api.mkdir()
    (api / "index.md").write_text(_public_page(), encoding="utf-8")
    for package in packages():
        if package != "segue":
            (api / f"{package}.md").write_text(_package_page(package), encoding="utf-8")


def bring_files(text: str, page: Path, pages: Path) -> None:
    """Copy the files that a page links to, such as a program or a table of JSON, and refuse links to nothing.

    The generator checks links to pages and headings itself, and no others. Raises SystemExit for the first bad link.
    """
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        target = (ROOT / page.parent / link).resolve()
        if "://" in link or target.suffix == ".md":
            continue
        if not target.is_file() or not target.is_relative_to(ROOT):
            raise SystemExit(f"{page}: the link {link} leads to no file of the repository")
        copy = pages / target.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, copy)


def _public_page() -> str:
    """The page of the public names, and of the modules that belong to no room."""
    known = homes()
    lines = ["# What import segue offers", ""]
    modules = [f"segue.{path.stem}" for path in sorted(PACKAGE.glob("[!_]*.py"))]
    for name in public_names():
        lines.append(f"- [`segue.{name}`][{known[name]}]" if name in known else f"- `segue.{name}`")
    for module in modules:
        lines += ["", f"## {module}", "", f"::: {module}", "    options:", "      heading_level: 2"]
    return "\n".join(lines) + "\n"


def _package_page(package: str) -> str:
    """The page of a package: its own docstring and names, then its modules, without its sub-packages."""
    folder = PACKAGE.parent.joinpath(*package.split("."))
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    lines = [f"# {package}", "", f"::: {package}", "    options:", "      show_submodules: false"]
    for module in modules:
        lines += ["", f"## {package}.{module}", "", f"::: {package}.{module}", "    options:", "      heading_level: 2"]
    return "\n".join(lines) + "\n"


def navigation(pages: Path) -> Nav:
    """The sections of the site and their pages; a new guide, decision or benchmark appears by itself."""

    def section(folder: str, first: Sequence[str] = ()) -> Nav:
        order = {name: place for place, name in enumerate(first)}
        found = sorted((pages / folder).glob("*.md"), key=lambda path: (order.get(path.stem, len(order)), path.stem))
        return [{title(page): page.relative_to(pages).as_posix()} for page in found]

    return [
        {"Start": "README.md"},
        {"Guides": section("docs/guide", FIRST_GUIDES)},
        {"The paper": "docs/paper-map.md"},
        {
            "Benchmarks": [
                {"How to measure": "benchmarks/README.md"},
                *section("docs/benchmarks"),
                {"The demo": "docs/demo.md"},
            ]
        },
        {"Decisions": section("docs/decisions")},
        {"API": section("api", ("index",))},
        {"Contributing": "CONTRIBUTING.md"},
        {"Changelog": "CHANGELOG.md"},
    ]


def lay_out(out: Path) -> None:
    """Write pages and configuration anew."""
    pages = out / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    write_pages(pages)
    configure(out, navigation(pages))


def configure(out: Path, sections: Nav) -> None:
    """Write the generator's configuration for pages in `out`."""
    nav = ", ".join(_inline(entry) for entry in sections)
    settings = (DOCS / "site.toml").read_text(encoding="utf-8")
    (out / "zensical.toml").write_text(settings.replace("nav = []", f"nav = [{nav}]"), encoding="utf-8")


def generate(out: Path) -> int:
    """Run the generator on what was laid out; returns 0, or not where a link or a name leads nowhere or a page fetches.

    The generator writes colours and a traceback wherever it prints to, so that its messages are cleaned here.
    """
    program = str(Path(sys.executable).parent / "zensical")
    command = [program, "build", "--strict", "--clean", "--config-file", str(out / "zensical.toml")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    messages = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    print(messages.partition("Traceback (most recent call last)")[0].rstrip())
    foreign = fetched(out / "site") if done.returncode == 0 else []
    for tag in foreign:
        print(f"A page would fetch this from another server: {tag}")
    return done.returncode or int(bool(foreign))


def fetched(site: Path) -> list[str]:
    """The tags of built pages by which a browser would fetch something from elsewhere: the site opens offline."""
    pages = (page.read_text(encoding="utf-8") for page in sorted(site.rglob("*.html")))
    tag = r"<(?:script|link|img|iframe)\b[^>]*https?://[^>]*>"
    return [found for page in pages for found in re.findall(tag, page)]


def _inline(entry: dict[str, Any]) -> str:
    """An entry of the navigation as an inline table of TOML."""
    ((name, value),) = entry.items()
    content = json.dumps(value) if isinstance(value, str) else f"[{', '.join(_inline(child) for child in value)}]"
    return f"{{{json.dumps(name, ensure_ascii=False)} = {content}}}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    lay_out(folder)
    sys.exit(generate(folder))
