"""Names and ids from outside are shown, and neither a terminal, nor Markdown, nor HTML obeys them."""

from __future__ import annotations

import json
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from segue.report import html, markdown
from segue.report.table import Cell, Table
from segue.report.text import in_one_line, printable

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title of the terminal": "\x1b]0;mine\x07",
    "eight-bit escape": "\x9b31mred",
    "next line": "one\x85two",
    "return": "safe\rmine",
    "backspace": "safe\b\b\b\bmine",
    "delete": "a\x7fb",
    "null": "a\x00b",
    "override of direction": "safe\u202etxt.exe",
    "isolate of direction": "a\u2066b\u2069",
    "separator of lines": "a\u2028b\u2029c",
    "bytes that are no text": "caf\udce9",
    "line feed": "a\nb",
    "column": "a|b",
    "column after a backslash": "a\\|b",
    "row": "a|\n|x|y|",
    "link": "[here](javascript:alert(1))",
    "reference": "[here][1]",
    "image": "![](http://example.com/x.png)",
    "tag": "<img src=x onerror=alert(1)>",
    "entity": "&lt;b&gt;",
    "address in brackets": "<http://example.com>",
    "code": "`a` ``b``",
    "emphasis": "*a* **b** _c_ __d__ *_e_*",
    "deletion": "~a~ ~~b~~ ~~~c~~~",
    "attribute": "\" onclick='x'",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = in_one_line(text)
    assert all(unicodedata.category(letter) not in ("Cc", "Zl", "Zp", "Cs") for letter in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert shown.encode("utf-8")


@given(st.text())
def test_a_json_text_stays_the_same_json(text: str) -> None:
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_joined_emoji_and_scripts_of_both_directions_stay() -> None:
    for text in ("👩‍👧 café", "می‌خواهم", "שלום\u200f!", "a\tb\nc"):
        assert printable(text) == text


def test_line_breaks_become_blanks_and_other_blanks_stay() -> None:
    assert in_one_line(" my  file\r\n  of two\tlines\n") == " my  file of two lines"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_markdown_shows_a_text_and_nothing_else(text: str) -> None:
    """As read by a renderer of another author: one cell, whose content is nothing but text."""
    reader = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    shown = markdown.table(Table(("", text), {text: [Cell(text, "best")]}, text))
    cells = [token for token in reader.parse(shown + "\n\n" + markdown.bullets([text])) if token.type == "inline"]
    assert len(cells) == 1 + 4 + 1  # the title, two columns, a row of two, one entry of the list
    for cell in cells:
        kinds = {inner.type for inner in cell.children or []}
        assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, shown
        content = "".join(inner.content for inner in cell.children or [])
        assert content in ("", " ".join(in_one_line(text).split())), shown


def test_markdown_leaves_an_address_as_text() -> None:
    """Some renderers make links of addresses that nobody marked as links; an escape in them prevents it."""
    shown = markdown.plain("see http://example.com or WWW.example.com")
    assert shown == "see http\\://example.com or WWW\\.example.com"
    assert markdown.plain("hg_gnn/paper: 5 % of A&B at 10:30") == "hg_gnn/paper: 5 % of A&B at 10:30"


OURS = {
    *("div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "ul", "li", "span", "i"),
    *("figure", "figcaption", "section", "h2"),
}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_html_shows_a_text_and_nothing_else(text: str) -> None:
    reader = _Reader()
    reader.feed(html.table(Table((text, text), {text: [Cell(text)]}, text)) + html.note(text) + html.bullets([text]))
    reader.feed(html.legend({text: "red"}) + html.figures({text: {}}) + html.section(text))
    assert reader.tags <= OURS
    assert reader.attributes <= {"class", "scope", "style", "data-chart"}
    assert set(reader.texts) == {printable(text)}
