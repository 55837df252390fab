"""A table for people: cells with a mark. HTML and Markdown are two ways to write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Mark = Literal["", "best", "theirs", "shared", "personal"]
"""What is special about a cell: the best of its column; a number printed in the paper; an item recommended to both
users of Figure 5, or to one of them alone."""
MISSING = "–"
"""Text of a cell whose value is not known."""


@dataclass(frozen=True)
class Cell:
    """A text and its mark."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns.

    Attributes:
        columns: names of the columns; the first is the column of the row labels.
        rows: label → a cell for each further column, or fewer.
        title: shown above the table; may be empty.
    """

    columns: tuple[str, ...]
    rows: Mapping[str, Sequence[Cell]]
    title: str = ""

    def unmarked(self) -> Table:
        """The table without marks, for rows whose order says nothing."""
        return replace(self, rows={label: [Cell(cell.text) for cell in cells] for label, cells in self.rows.items()})

    def with_column(self, name: str, texts: Mapping[str, str]) -> Table:
        """The table with one more column at the end: row label → text."""
        width = len(self.columns) - 1
        rows = {
            label: [*cells, *[Cell("")] * (width - len(cells)), Cell(texts.get(label, ""))]
            for label, cells in self.rows.items()
        }
        return Table((*self.columns, name), rows, self.title)
