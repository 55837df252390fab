"""Names, ids, columns and settings that speak to terminals or browsers, through the commands and on the pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import small_logs

from segue.cli import app as cli

HOSTILE = (
    *("\x1b[31mred", "\x9b31m", "\x1b]0;title\x07", "a\x85b", "a\u202eb", "a\u2066b", "a\u2028b", "a\nb"),
    *("<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![i](http://example.com/i.png)", "a|b", "`c`"),
)
SETTINGS = small_logs.as_arguments({key: small_logs.SMALL[key] for key in ("sessions", "filters", "preparation")})
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
LIVE = re.compile(r"(?<!\\)\]\((?!\S+\.svg\))|<img")


def hostile(name: str) -> str:
    """Every name with an ending of the list, always the same one."""
    return name + HOSTILE[sum(name.encode()) % len(HOSTILE)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(hostile(user), hostile(item), time, "\x1b[1m") for user, item, time in small_logs.rows()]
    folder = tmp_path_factory.mktemp("hostile")
    items = {item: number for number, item in enumerate(sorted({item for _, item, _, _ in rows}))}
    described = [(item, "The " + HOSTILE[number % len(HOSTILE)], "v\x9b") for item, number in items.items()]
    small_logs.write_csv(folder / "items.csv", described, ("item_id", "name", "colour\x1b[31m|"))
    return small_logs.write_csv(folder / "log.csv", rows, (*small_logs.COLUMNS, "more\x1b[31m\u202e|"))


def shown(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert cli.run([str(argument) for argument in arguments]) == code
    out, err = capsys.readouterr()
    assert not OBEYED.findall(out + err)
    return out if code == 0 else err


def test_no_command_hands_a_control_character_on(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, items = tmp_path / "model", log.with_name("items.csv")
    shown(capsys, "check", log)
    shown(capsys, "fit", log, "--items", items, "--out", model, *SETTINGS, "--set", "model.name=popularity")
    for command in ("check", log), ("prepare", log, "--items", items, "--out", tmp_path / "corpus", *SETTINGS):
        assert json.loads(shown(capsys, *command, "--json"))
    asked = ("recommend", model, "--item", hostile("first3"), "--item", "no\x1b[31m\nwhere", "-k", 32)
    assert shown(capsys, *asked).count("\n") == 32
    answer = json.loads(shown(capsys, *asked, "--json"))
    assert {entry["item"] for entry in answer["items"]} == {hostile(item) for _, item, _ in small_logs.rows()}
    assert answer["skipped"] == ["no\x1b[31m\nwhere"]
    report = (model / "report.html").read_text(encoding="utf-8")
    assert not OBEYED.findall(report)
    assert "<img" not in report.partition("<script>")[0]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_mistake_is_one_line_that_says_the_name(name: str, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ("check", f"nowhere{name}.csv"),
        ("check", log, "--set", f"columns.item_id=none{name}"),
        ("check", log, "--set", f"columns.{name}=x"),
        ("stats", f"nowhere{name}"),
        ("recommend", f"nowhere{name}"),
    ):
        said = shown(capsys, *command, code=2)
        assert said.startswith("segue: ")
        assert said.count("\n") == 1


def test_a_comparison_and_its_page(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model is left out with a reason that repeats a name of the user's."""
    corpus, out = tmp_path / "corpus", tmp_path / "comparison"
    shown(capsys, "prepare", log, "--items", log.with_name("items.csv"), "--out", corpus, *SETTINGS)
    missing = json.dumps(["item.\u001b[31m|[x](http://example.com)<img>"])
    chosen = ("--models", "popularity,markov,hg_gnn", "--no-tune", "--seeds", 1, "--set", f"graph.attributes={missing}")
    printed = shown(capsys, "compare", corpus, "--out", out, *chosen)
    assert "hg_gnn" in printed
    for text in (printed, (out / "results.md").read_text(encoding="utf-8")):
        assert not LIVE.findall(text)
    page = (out / "report.html").read_text(encoding="utf-8").partition("<script>")[0]
    assert not OBEYED.findall(page)
    assert "<img" not in page
