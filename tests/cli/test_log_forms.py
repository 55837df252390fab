"""docs/guide/logs.md is what comes of reading logs of every form."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from segue.cli import log_forms
from segue.data import engine
from segue.data.log.read import read_log
from segue.errors import LogError
from segue.settings import ColumnsSettings, PreparationSettings

ROOT = Path(__file__).parents[2]


def test_the_committed_page_is_the_generated_one() -> None:
    committed = (ROOT / log_forms.PAGE).read_text(encoding="utf-8")
    assert committed == log_forms.page(), f"the page is out of date; run: {log_forms.COMMAND}"


def test_what_is_read_is_read_whole() -> None:
    page = (ROOT / log_forms.PAGE).read_text(encoding="utf-8").split("## Refused")[0]
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    for form, _, _, rows_in, rows_read, left_out, *_ in rows[1:]:
        dropped = sum(int(each.split(":")[0]) for each in left_out.split(", ") if each.strip())
        assert int(rows_in) == int(rows_read) + dropped, form


def test_commands_can_be_copied_from_the_rendered_page(tmp_path: Path) -> None:
    page = (ROOT / log_forms.PAGE).read_text(encoding="utf-8")
    tokens = MarkdownIt().enable("table").parse(page)
    code = [each.content for token in tokens for each in token.children or () if each.type == "code_inline"]
    for name, data in (
        ("shop.sqlite", b"SQLite format 3\0"),
        ("otto.jsonl", b'{"session": 1, "events": [{"aid": 2, "ts": 3}]}\n'),
    ):
        (tmp_path / name).write_bytes(data)
        with (
            engine.connect(PreparationSettings(), tmp_path / "scratch") as connection,
            pytest.raises(LogError) as caught,
        ):
            read_log(connection, str(tmp_path / name), ColumnsSettings())
        said = str(caught.value).replace(f"{tmp_path}/", "").partition("convert it: ")[2]
        command = said.partition(" (TABLE")[0]
        assert command in code
    assert "--set csv.quoting=off" in code


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "page.md"
    monkeypatch.setattr(log_forms, "page", lambda: "the page")
    monkeypatch.setattr(sys, "argv", ["log_forms", "--write", str(written)])
    log_forms.main()
    assert written.read_text(encoding="utf-8") == "the page"
