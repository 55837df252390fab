"""What the README says can be done: its commands, its Python, its figures, its links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import small_logs

import readme
from segue import models
from segue.cli import app as cli
from segue.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip().partition(" #")[0] for line in README.splitlines() if line.startswith("    segue ")]
EXAMPLE = readme.example(README)
PYTHON = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if block != EXAMPLE]
EPOCH = ["--set", "training.max_epochs=1"]
QUICK = {"fit": EPOCH, "tune": [*EPOCH, "--trials", "1"], "compare": [*EPOCH, "--minutes", "0", "--seeds", "1"]} | {
    "study": [*EPOCH, "--minutes", "0.02"]
}
"""What makes the README's commands short; nothing of what they do is left out."""
NAMES = {"user00": "anna", "first1": "milk", "second1": "bread"}


@pytest.fixture
def with_clicks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of work with the README's log in it."""
    for name, rows in (("clicks", small_logs.rows()), ("today", small_logs.next_day())):
        small_logs.write_csv(tmp_path / f"{name}.csv", [[NAMES.get(cell, cell) for cell in row] for row in rows])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run_as_they_stand(with_clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"check", "fit", "evaluate", "recommend", "compare"}
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        assert cli.run([*arguments, *QUICK.get(arguments[0], [])]) == 0, (command, capsys.readouterr().err)
    assert (with_clicks / "model" / "report.html").exists()


def test_the_python_runs_as_it_stands(with_clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert PYTHON
    for block in PYTHON:
        exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_the_example_prints_what_stands_below_it() -> None:
    """One item of a list may differ: rounding on another processor can swap two items of nearly equal score."""
    shown = README.split("```text\n")[1].partition("\n```")[0].splitlines()
    printed = readme.printed_by(EXAMPLE).splitlines()
    assert len(shown) == len(printed) == 2
    for line, again in zip(shown, printed, strict=True):
        (household, listed), (same, items) = (text.split(" may want: ") for text in (line, again))
        assert household == same
        assert len(set(listed.split(" + ")) - set(items.split(" + "))) <= 1
    assert shown[0].split(": ")[1] != shown[1].split(": ")[1], "two households, two lists"


def test_the_figures_are_those_of_the_benchmark_pages() -> None:
    assert readme.between(README, "tables", readme.short_table(readme.measured_pages())) == README
    every = readme.comparisons_page(readme.measured_pages(readme.ALL_MODELS))
    assert readme.COMPARISONS.read_text(encoding="utf-8") == every


def test_every_model_is_named_as_on_the_command_line() -> None:
    named = set(re.findall(r"`(\w+)`", README.split("Models: ")[1].split("\n\n")[0]))
    assert named == set(models.names())


def test_the_first_screen_is_short() -> None:
    assert len(README.splitlines()) <= 140


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(re.findall(r"`[^`]+`|^    .*$", README, re.MULTILINE))))
    assert {"demo", "test", "install"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_settings_it_names_exist() -> None:
    known = Settings().model_dump()
    named = re.findall(r"(?:`|--set )(sessions|filters|split|training|columns)\.(\w+)", README)
    assert named
    for section, key in named:
        assert key in known[section], f"{section}.{key}"


def test_the_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []
