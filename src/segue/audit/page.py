"""The page of an audit, as Markdown or HTML: what was checked, what was found, and what cannot be told."""

from __future__ import annotations

from pathlib import Path

from segue.audit.finding import Audit, Verdict
from segue.errors import UserMistake
from segue.report import html, markdown
from segue.report.table import Cell, Table
from segue.system.atomic import write_text
from segue.version import __version__

_MEANING: dict[Verdict, str] = {
    "clean": "clean: the check was made and found nothing.",
    "leak": "leak: something from after the cut is where it must not be.",
    "share": "share: an effect that the way of splitting has by itself; it is no mistake, and its size is told.",
    "cannot": "cannot: the check could not be made, for the reason that is given.",
}
_CANNOT = "What these checks cannot tell"


def table(audit: Audit) -> Table:
    """One row per check."""
    rows = {
        finding.name: [
            Cell(finding.verdict, "best" if finding.verdict == "leak" else ""),
            Cell(finding.checked),
            Cell(finding.found),
        ]
        for finding in audit.findings
    }
    return Table(("check", "verdict", "what was checked", "what was found"), rows)


def check_page(path: Path) -> None:
    """Raise UserMistake for a file that a page cannot be written to, before anything is audited."""
    if path.suffix.lower() not in (".md", ".html"):
        raise UserMistake(f"--out {path}: a page is Markdown or HTML; name a file that ends in .md or .html")
    if not path.parent.is_dir():
        raise UserMistake(f"--out {path}: there is no folder {path.parent}; make it, or choose another --out")


def write_page(audit: Audit, path: Path) -> None:
    """Write the page: Markdown into a file that ends in .md, else HTML; an earlier page is replaced.

    Raises UserMistake when it cannot be written.
    """
    text = as_markdown(audit) if path.suffix.lower() == ".md" else as_html(audit)
    try:
        write_text(path, text)
    except OSError as error:
        raise UserMistake(f"cannot write {path}: {error.strerror or error}; choose another --out") from None


def as_markdown(audit: Audit) -> str:
    """The page as Markdown."""
    return "\n".join([
        f"# {_title(audit)}", "", markdown.plain(audit.summary), "", markdown.table(table(audit)), "",
        markdown.bullets(_MEANING.values()), "", f"## {_CANNOT}", "", markdown.bullets(audit.limits), "",
        f"Segue {__version__}", "",
    ])  # fmt: skip


def as_html(audit: Audit) -> str:
    """The page as HTML that loads nothing."""
    sections = [
        html.section("Checks", html.table(table(audit)), html.bullets(_MEANING.values())),
        html.section(_CANNOT, html.bullets(audit.limits)),
    ]
    return html.page(_title(audit), [audit.summary, f"Segue {__version__}"], sections, {}, "")


def _title(audit: Audit) -> str:
    return f"Audit of the {audit.kind} {markdown.plain(audit.subject)}"
