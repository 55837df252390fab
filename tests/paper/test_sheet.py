"""Sheets: the paper's own numbers beside ours, marks and files."""

from __future__ import annotations

import json
from pathlib import Path

from paper_rows import rows_of

from segue.paper import printed_numbers as paper
from segue.paper.printed_numbers import METRICS
from segue.paper.rows import metric_table
from segue.paper.sheet import Sheet, with_theirs
from segue.report import charts
from segue.report.table import Cell, Table


def test_the_papers_ablations_are_of_the_model_of_its_comparison() -> None:
    whole = paper.COMPARISON["HG-GNN"]
    assert paper.LAYERS["HG-GNN"] == {name: whole[name] for name in ("Last.fm", "Xing")}
    assert paper.GRAPH["HG-GNN"] == {"Xing": whole["Xing"]}


def test_on_the_papers_data_its_numbers_are_columns() -> None:
    ours = metric_table(rows_of(**{"w/o in edges": 0.2, "HG-GNN": 0.1}))
    (beside,) = with_theirs(ours, paper.GRAPH, METRICS, "xing")
    assert beside.columns[-4:] == tuple(f"the paper's {name}" for name in METRICS)
    assert beside.rows["HG-GNN"][-4:] == [Cell(text, "theirs") for text in ("17.25", "20.30", "12.23", "12.79")]
    for source in ("lastfm", None):  # Table 5 is of Xing alone
        above, below = with_theirs(ours, paper.GRAPH, METRICS, source)
        assert above == ours
        assert below.rows["w/o out edges"][1] == Cell("20.00", "theirs")


def test_a_sheet_marks_and_escapes(tmp_path: Path) -> None:
    cells = [Cell("1.00*", "best"), Cell("a|b <i>", "personal"), Cell("2", "theirs")]
    chart = charts.value_line([(4, 10.0), (8, 12.0)], "S")
    sheet = Sheet("t", "T", ("One.",), (Table(("m", "x", "y", "z"), {"row": cells}),), {"n": 1}, {"by S": chart})
    assert "| row | **1.00\\*** | *a\\|b &lt;i>* | *2* |" in sheet.markdown()
    html = sheet.html()
    assert '<td class="number best">1.00*</td>' in html
    assert '<td class="personal">a|b &lt;i&gt;</td>' in html
    assert '<td class="number theirs">2</td>' in html
    sheet.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.html", "t.json", "t.md", "t.svg"]
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8")) == sheet.as_dict()


def test_a_line_shows_every_point() -> None:
    spec = charts.value_line([(4, 10.0), (8, 12.0)], "S")
    (values,) = spec["datasets"].values()
    assert values == [{"x": 4, "value": 10.0}, {"x": 8, "value": 12.0}]
