"""Tables and lists as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from segue.report.table import Cell, Mark, Table

_MARKED: dict[Mark, str] = {"": "{}", "best": "**{}**", "theirs": "*{}*", "shared": "**{}**", "personal": "*{}*"}


def table(shown: Table) -> str:
    """A table as Markdown, under its title where it has one; texts are escaped."""
    width = len(shown.columns)
    lines = ["| " + " | ".join(map(plain, shown.columns)) + " |", "|---" * width + "|"]
    for label, cells in shown.rows.items():
        texts = [plain(label), *map(_cell, cells)]
        lines.append("| " + " | ".join([*texts, *[""] * (width - len(texts))]) + " |")
    title = [f"**{plain(shown.title)}**", ""] if shown.title else []
    return "\n".join([*title, *lines])


def bullets(sentences: Iterable[str]) -> str:
    """A list, one line for each sentence."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def plain(text: str) -> str:
    """A text in one line in which no character opens a column, an emphasis or a tag."""
    return " ".join(text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").split())


def _cell(cell: Cell) -> str:
    return _MARKED[cell.mark].format(plain(cell.text)) if cell.text else ""
