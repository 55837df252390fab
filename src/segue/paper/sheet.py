"""One table or figure of the paper: written as Markdown, JSON and HTML, its charts as SVG too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segue.paper.printed_numbers import DATA_SETS, Numbers
from segue.report import html, markdown
from segue.report.table import Cell, Table
from segue.system.atomic import write_text, writing


@dataclass(frozen=True)
class Sheet:
    """A table or figure, complete with its caption.

    Attributes:
        name: short name such as ``table2``. title: heading for people. caption: sentences, the protocol among them.
        charts: title → Vega-Lite. facts: all numbers of the tables and charts and more, JSON-safe.
    """

    name: str
    title: str
    caption: tuple[str, ...]
    tables: tuple[Table, ...]
    facts: dict[str, Any]
    charts: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The sheet in the JSON shape of ``NAME.json``."""
        return {"name": self.name, "title": self.title, "caption": list(self.caption), **self.facts}

    def markdown(self) -> str:
        """The sheet as Markdown; charts are links to the SVG files beside it."""
        caption = "\n".join(map(markdown.plain, self.caption))
        parts = [f"# {markdown.plain(self.title)}", caption, *map(markdown.table, self.tables)]
        parts += [f"![{markdown.plain(title)}]({file})" for title, file in self._files().items()]
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """The sheet as a section of a page whose charts hold :attr:`charts`."""
        figures = html.figures(self.charts) if self.charts else ""
        return html.section(self.title, *map(html.note, self.caption), *map(html.table, self.tables), figures)

    def write(self, out: Path) -> None:
        """Write NAME.md, NAME.json, NAME.html and an SVG file per chart, each of them atomically."""
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            for title, file in self._files().items():
                from segue.report import charts

                write_text(out / file, charts.svg(self.charts[title]))
            write_text(out / f"{self.name}.json", json.dumps(self.as_dict(), indent=1) + "\n")
            write_text(out / f"{self.name}.md", self.markdown())
            write_text(out / f"{self.name}.html", html_page(f"Segue: {self.title}", [], [self]))

    def _files(self) -> dict[str, str]:
        """Title of each chart → its SVG file."""
        numbered = len(self.charts) > 1
        return {
            title: f"{self.name}{f'-{number}' if numbered else ''}.svg"
            for number, title in enumerate(self.charts, start=1)
        }


def html_page(title: str, notes: Sequence[str], sheets: Sequence[Sheet]) -> str:
    """Sheets on one page that loads nothing; the script that draws is there only where something is drawn."""
    charts_of_all = {name: spec for sheet in sheets for name, spec in sheet.charts.items()}
    script = ""
    if charts_of_all:
        from segue.report import charts

        script = charts.script()
    return html.page(title, notes, [sheet.html() for sheet in sheets], charts_of_all, script)


def with_theirs(ours: Table, theirs: Numbers, names: Sequence[str], source: str | None) -> tuple[Table, ...]:
    """Our table with the paper's numbers: as columns of it on the paper's own data set, else as a table below.

    Args:
        theirs: the paper's numbers for the rows of our table, in the order of `names`.
        source: the data set that the corpus is made from, as its manifest names it.
    """
    data_set = DATA_SETS.get(source or "")
    if data_set is not None and any(data_set in row for row in theirs.values()):
        width = len(ours.columns) - 1
        rows = {
            label: [*cells, *[Cell("")] * (width - len(cells)), *_cells(theirs.get(label, {}).get(data_set, ()))]
            for label, cells in ours.rows.items()
        }
        columns = tuple(f"the paper's {name}".strip() for name in names)
        return (Table((*ours.columns, *columns), rows, ours.title),)
    data_sets = list(dict.fromkeys(name for row in theirs.values() for name in row))
    columns = tuple(f"{data_set} {name}".strip() for data_set in data_sets for name in names)
    below = {label: [cell for values in row.values() for cell in _cells(values)] for label, row in theirs.items()}
    title = "The paper's own numbers, on the paper's own data: not to be compared with ours digit by digit"
    return (ours, Table((ours.columns[0], *columns), below, title))


def _cells(values: Sequence[str]) -> list[Cell]:
    return [Cell(value, "theirs") for value in values]
