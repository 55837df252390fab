"""The pieces of an HTML page: tables, lists, legends, figures for charts, and the page itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape as escaped
from string import Template
from typing import Any

from segue.report.table import Cell, Table
from segue.report.text import printable


def page(title: str, notes: Sequence[str], sections: Sequence[str], charts: Mapping[str, Any], script: str) -> str:
    """A whole HTML page that loads nothing.

    Args:
        title, notes: texts. sections: ready HTML.
        charts: name → Vega-Lite, drawn in the figure of that name, see :func:`figures`.
        script: the JavaScript that defines ``vegaEmbed``.
    """
    return _PAGE.substitute(
        title=escape(title),
        notes="".join(f"<p>{escape(note)}</p>" for note in notes),
        sections="\n".join(sections),
        script=script,
        charts=json.dumps(charts).replace("<", "\\u003c"),
    )


def table(shown: Table) -> str:
    """A table as HTML; cells that begin with a digit or a sign stand to the right."""
    top = "".join(f'<th scope="col">{escape(text)}</th>' for text in shown.columns)
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>{"".join(map(_cell, cells))}</tr>'
        for label, cells in shown.rows.items()
    )
    above = (f"<caption>{escape(shown.title)}</caption>" if shown.title else "") + (
        f"<thead><tr>{top}</tr></thead>" if any(shown.columns) else ""
    )
    return f'<div class="wide"><table>{above}<tbody>{body}</tbody></table></div>'


def note(text: str) -> str:
    """A remark in small grey letters."""
    return f'<p class="note">{escape(text)}</p>'


def bullets(sentences: Iterable[str]) -> str:
    """A list, one entry for each sentence."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def details(summary: str, content: str) -> str:
    """Ready HTML that is folded away under a line of text."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _cell(cell: Cell) -> str:
    is_number = cell.text[:1].isdigit() or cell.text[:1] in tuple("+-−–[")
    classes = " ".join(filter(None, ["number" if is_number else "", cell.mark]))
    return f'<td class="{classes}">{escape(cell.text)}</td>' if classes else f"<td>{escape(cell.text)}</td>"


def escape(text: str) -> str:
    """A text as HTML that is nothing but this text."""
    return escaped(printable(text))


def legend(colour: Mapping[str, str]) -> str:
    """The legend of all charts of a section: label → colour."""
    entries = (f'<span><i style="background:{value}"></i>{escape(label)}</span>' for label, value in colour.items())
    return f'<p class="legend">{"".join(entries)}</p>'


def figures(charts: Mapping[str, Any]) -> str:
    """An empty figure for each chart, under its title; the page's script draws into it."""
    figures = (
        f'<figure><figcaption>{escape(title)}</figcaption><div data-chart="{escape(title)}"></div></figure>'
        for title in charts
    )
    return f'<div class="figures">{"".join(figures)}</div>'


def section(title: str, *contents: str) -> str:
    """A section of a page: a heading over ready HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(contents)}</section>"


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --text: #1c1e21; --soft: #646a73; --line: #dfe2e6; --ground: #fff; --best: #eef4ec;
  --shared: #1f5fa8; --personal: #a05a00; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e6e8; --soft: #9aa1a9; --line: #3a3f45; --ground: #17191c; --best: #24321f;
    --shared: #7fb2ea; --personal: #eab04a; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground);
  max-width: 1060px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
caption, figcaption { text-align: left; font-size: .95rem; font-weight: 600; margin: 1.25rem 0 .5rem; }
header p, .note { color: var(--soft); margin: .2rem 0; max-width: 75ch; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th:first-child { padding-left: 0; }
thead th { color: var(--soft); font-weight: 500; text-align: right; vertical-align: bottom; white-space: normal; }
thead th:first-child { text-align: left; }
tbody th { font-weight: 500; }
.number { text-align: right; }
.best { font-weight: 700; background: var(--best); }
.theirs { color: var(--soft); font-style: italic; }
.shared { color: var(--shared); font-weight: 600; }
.personal { color: var(--personal); font-weight: 600; }
details { margin-top: .9rem; }
summary { color: var(--soft); cursor: pointer; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 0 2.5rem; }
figure { margin: 0; min-width: 0; }
figure > div { width: 100%; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; }
.legend i { display: inline-block; width: .75rem; height: .75rem; border-radius: 2px; margin-right: .45rem; }
</style>
</head>
<body>
<header><h1>$title</h1>$notes</header>
<main>
$sections
</main>
<script>$script</script>
<script>
const charts = $charts;
const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : undefined;
for (const place of document.querySelectorAll("[data-chart]"))
  vegaEmbed(place, charts[place.dataset.chart], {mode: "vega-lite", renderer: "svg", actions: false, theme})
    .catch(error => { place.textContent = "This chart could not be drawn: " + error.message; });
</script>
</body>
</html>
""")
