"""The report opens without a network, says what was measured, and believes no text it is given."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from scorers import arbitrary, constant, oracle
from worlds import TEST, VALIDATION, busy

from segue.errors import ArtifactError, UserMistake
from segue.evaluation.full_ranking import evaluate
from segue.evaluation.measurement import Measurement
from segue.evaluation.metrics import METRICS
from segue.evaluation.slices import SLICES
from segue.report import charts, markdown
from segue.report.evaluation_page import metric_table, write_report
from segue.training.epochs import EpochRecord

NASTY = "</script><b>me & 'you' \"</b>"
STATISTICS: dict[str, Any] = {
    "nodes": {"item": 1234, "user": 5},
    "relations": {
        "adjacent_in": {"source": "item", "edges": 98765, "degree": {"mean": 2.5, "max": 12.0}},
        "interact": {"source": "user", "edges": 7},
    },
    "isolated_items": 0,
}


def curve(epochs: int, best: int, validated: bool = True) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch, events=100, seconds=1.5, loss=9.0 / epoch, learning_rate=0.001,
            validation={"HR@10": 0.01 * epoch} if validated else {}, best=epoch <= best,
        )
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Measurement]:
    corpus = busy(n_items=40)
    models = {"perfect": oracle(40), NASTY: arbitrary(40), "constant": constant(40)}
    return {label: evaluate(model, corpus, TEST, label=label).measurement() for label, model in models.items()}


@pytest.fixture(scope="module")
def text(evaluations: dict[str, Measurement], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    curves = {"perfect": curve(5, best=3), NASTY: curve(2, best=2), "constant": []}
    write_report(path, title=NASTY, measurements=evaluations, curves=curves, statistics=STATISTICS, notes=[NASTY])
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a browser would see: tags, the addresses it would load, scripts, styles, texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open = ""
        self.addresses: list[str] = []
        self.places: list[str] = []
        self.contents: dict[str, list[str]] = {}
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open = tag
        self.contents.setdefault(tag, []).append("")
        self.addresses += [str(value) for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]
        self.places += [str(value) for name, value in attrs if name == "data-chart"]
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.open:
            self.contents[self.open][-1] += data
        if self.open in {"th", "td"}:
            self.rows[-1].append(data)

    def handle_endtag(self, tag: str) -> None:
        self.open = ""


def drawn(text: str) -> dict[str, Any]:
    (line,) = re.findall(r"^const charts = (.*);$", text, re.MULTILINE)
    return dict(json.loads(line))


def test_nothing_is_loaded(text: str) -> None:
    page = Page(text)
    assert page.addresses == []
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert "default-src 'none'" in text
    (style,) = page.contents["style"]
    assert "url(" not in style
    assert "@import" not in style
    library, own = page.contents["script"]
    assert "window.vegaEmbed" in library, "one library for all charts"
    assert not re.search(r"https?:|\bimport\(|\bfetch\(", own)
    assert not re.search(r'"url"', own)


def test_texts_are_texts(text: str) -> None:
    page = Page(text)
    assert page.contents["title"] == page.contents["h1"] == [NASTY]
    assert NASTY not in text
    assert "b" not in page.tags
    assert any(row[0] == NASTY for row in page.rows)


def test_every_chart_has_its_place_and_can_be_drawn(text: str) -> None:
    specs = drawn(text)
    assert Page(text).places == list(specs)
    assert list(specs)[-2:] == ["Training loss", "HR@10 on validation, %"]
    assert len(specs) == len(SLICES) + 2
    for spec in specs.values():
        svg = vl_convert.vegalite_to_svg({**spec, "width": 300})
        assert charts.PALETTE[0] in svg, "the first model's colour"
        assert "NaN" not in svg


def test_charts_show_the_measured_values(text: str, evaluations: dict[str, Measurement]) -> None:
    (values,) = drawn(text)["Kind of the next item"]["datasets"].values()
    measured = evaluations[NASTY].slices["target"]["new"]
    bar = {"model": NASTY, "slice": f"new|{measured['events']:,} events", "value": 100 * measured["HR@10"]}
    assert bar in values
    (points,) = drawn(text)["HR@10 on validation, %"]["datasets"].values()
    assert [(point["model"], point["epoch"]) for point in points if point["best"]] == [("perfect", 3), (NASTY, 2)]


def test_a_measurement_without_the_newer_slices_is_shown(evaluations: dict[str, Measurement], tmp_path: Path) -> None:
    older = replace(evaluations["perfect"], slices={"target": evaluations["perfect"].slices["target"]})
    page = tmp_path / "report.html"
    write_report(page, title="old", measurements={"old": older}, curves={}, statistics={}, notes=[])
    assert list(drawn(page.read_text(encoding="utf-8"))) == ["Kind of the next item"]
    both = {"old": older, "new": evaluations["constant"]}
    write_report(page, title="both", measurements=both, curves={}, statistics={}, notes=[])
    assert len(drawn(page.read_text(encoding="utf-8"))) == len(SLICES)


def test_the_best_of_each_column_is_marked(text: str) -> None:
    assert text.count('<td class="number best">100.00</td>') >= 7
    metrics = next(row for row in Page(text).rows if row[0] == "constant")
    assert metrics == ["constant", *["0.00"] * len(METRICS)]


def test_facts_and_tables_of_statistics(text: str) -> None:
    rows = Page(text).rows
    assert ["nodes item", "1,234"] in rows
    assert ["isolated items", "0"] in rows
    assert ["", "source", "edges", "degree mean", "degree max"] in rows or [
        "source",
        "edges",
        "degree mean",
        "degree max",
    ] in rows, "a table of tables is a table of its own"
    assert ["adjacent in", "item", "98,765", "2.50", "12.00"] in rows
    assert ["interact", "user", "7", "–", "–"] in rows


def test_charts_without_values_are_left_out(tmp_path: Path, evaluations: dict[str, Measurement]) -> None:
    one = {"constant": evaluations["constant"]}
    facts: dict[str, Any] = {"title": "t", "measurements": one, "statistics": {}, "notes": []}
    write_report(tmp_path / "none.html", curves={"constant": []}, **facts)
    write_report(tmp_path / "loss.html", curves={"constant": curve(3, 3, validated=False)}, **facts)
    none, loss = ((tmp_path / name).read_text(encoding="utf-8") for name in ("none.html", "loss.html"))
    assert "Learning curves" not in none
    assert "Data and graph" not in none
    assert [name for name in drawn(loss) if name not in drawn(none)] == ["Training loss"]
    assert 'class="number best"' not in none, "one model alone is not the best of anything"


def test_markdown_by_hand() -> None:
    table = metric_table({"one|two": {"HR@5": 0.12344, "MRR@5": 0.5}, "three": {"HR@5": 0.12341, "MRR@5": 0.6}})
    assert markdown.table(table) == (
        "| model | HR@5 | MRR@5 |\n|---|---|---|\n| one\\|two | **12.34** | 50.00 |\n| three | **12.34** | **60.00** |"
    )


def test_different_events_share_no_table(tmp_path: Path, evaluations: dict[str, Measurement]) -> None:
    other = evaluate(oracle(40), busy(n_items=40), VALIDATION).measurement()
    mixed = {"test": evaluations["perfect"], "validation": other}
    with pytest.raises(UserMistake, match="'test' and 'validation' were measured on different events"):
        write_report(tmp_path / "r.html", title="", measurements=mixed, curves={}, statistics={}, notes=[])
    with pytest.raises(UserMistake, match="no evaluation"):
        write_report(tmp_path / "r.html", title="", measurements={}, curves={}, statistics={}, notes=[])
    assert not (tmp_path / "r.html").exists()


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path, evaluations: dict[str, Measurement]) -> None:
    path = tmp_path / "missing" / "report.html"
    with pytest.raises(ArtifactError, match="cannot write to"):
        write_report(path, title="t", measurements=evaluations, curves={}, statistics={}, notes=[])
