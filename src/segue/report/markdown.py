"""Tables and lists as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from segue.report.table import Cell, Mark, Table
from segue.report.text import in_one_line

_MEANT = (
    # code, emphasis, links, images, columns, ~~deletions~~
    (re.compile(r"[\\`*~|]|(?<=\])[(\[:]|(?<![^\W_])_|_(?![^\W_])"), r"\\\g<0>"),
    (re.compile(r":(?=//)|(?<=\bwww)\.", re.IGNORECASE), r"\\\g<0>"),  # addresses, which some renderers make links of
    (re.compile(r"&(?=#|\w+;)"), "&amp;"),
    (re.compile("<"), "&lt;"),
)
"""What means something in Markdown, and what is written for it so that it does not."""
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
    """A list, one line for each sentence; texts are escaped."""
    return "\n".join(f"- {plain(sentence)}" for sentence in sentences)


def plain(text: str) -> str:
    """A text in one line in which no character opens a column, an emphasis, a link, an image or a tag."""
    text = " ".join(in_one_line(text).split())
    for pattern, written in _MEANT:
        text = pattern.sub(written, text)
    return text


def _cell(cell: Cell) -> str:
    return _MARKED[cell.mark].format(plain(cell.text)) if cell.text else ""
