"""What a message tells a user to write can be written: the settings, the options and the commands exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import segue
from segue import models
from segue.cli.app import application
from segue.data.log.check import check_log
from segue.errors import LogError
from segue.settings import Settings, compose
from segue.settings.overrides import as_option, read_overrides
from segue.settings.reference import entries

SOURCES = sorted(Path(segue.__file__).parent.rglob("*.py"))
SECTIONS = tuple(Settings.model_fields)
KEYS = {
    *(each.key for name in SECTIONS for each in entries(type(getattr(Settings(), name)), name)),
    *(each.key for name in models.names() for each in entries(models.load(name).Config, "model")),
}
INNER = {"model.inner.name", "csv.writer"}
"""The model inside the model ``reminder`` has the options of its own kind; ``csv.writer`` is Python to copy."""
COMMANDS = typer.main.get_command(application()).commands  # type: ignore[attr-defined]
OPTIONS = {
    option for command in COMMANDS.values() for each in command.params for option in (*each.opts, *each.secondary_opts)
}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a file but its docstrings, line by line; what a message puts in stands as ``{}``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented | inside:
            yield node.lineno, node.value


ALL = [(path, line, text) for path in SOURCES for line, text in texts(path)]


def test_every_setting_that_a_text_names_exists() -> None:
    pattern = re.compile(rf"(?<![\w./-])({'|'.join(SECTIONS)})((?:\.[a-z][a-z0-9_]*)+)")
    named = {
        match[0]: f"{path.name}:{line}"
        for path, line, text in ALL
        if " " in text  # a sentence: keys of tables and file names stand alone
        for match in pattern.finditer(text)
    }
    assert len(named) > 15
    wrong = {key: where for key, where in named.items() if key not in KEYS | INNER}
    assert not wrong


def test_every_assignment_that_a_text_advises_is_accepted() -> None:
    pattern = re.compile(r"--set (?:'([^'{}]+)'|([^\s'{}]+=[^\s'{};,)]+))")
    advised = [
        (quoted or plain, f"{path.name}:{line}") for path, line, text in ALL for quoted, plain in pattern.findall(text)
    ]
    advised = [(assignment, where) for assignment, where in advised if not assignment.startswith("section.key=")]
    advised = [(re.sub("=%d$", "=7", assignment), where) for assignment, where in advised]  # a number of the log
    assert advised
    for assignment, where in advised:
        nested = read_overrides(assignments=[assignment])
        assert models.with_preset(nested), where


def test_every_option_that_a_text_names_exists() -> None:
    pattern = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    named = {
        match: f"{path.name}:{line}"
        for path, line, text in ALL
        if path.parent.name != "report"  # whose pages have variables of style sheets
        for match in pattern.findall(text)
    }
    # Of python -m segue.cli.settings_reference and the like; of and before every command; of pip; of torchrun.
    of_modules = {"--write", "--help", "--log", "--force-reinstall", "--max-restarts"}
    wrong = {option: where for option, where in named.items() if option not in OPTIONS | of_modules}
    assert len(named) > 10
    assert not wrong


def test_every_command_that_a_text_advises_has_what_it_needs() -> None:
    """A command after a colon is one to copy: it names its arguments and the options that it cannot do without."""
    pattern = re.compile(r": (segue [a-z]+[^;()\n]*)")
    advised = [(match, f"{path.name}:{line}") for path, line, text in ALL for match in pattern.findall(text)]
    assert advised
    for line, where in advised:
        _, name, *words = shlex.split(line.replace("{}", "X"))
        needed = [each for each in COMMANDS[name].params if each.required]
        options = {option for each in needed if isinstance(each, typer.core.TyperOption) for option in each.opts}
        arguments = [each for each in needed if isinstance(each, typer.core.TyperArgument)]
        given_options = {word for word in words if word.startswith("-")}
        assert not options or options & given_options, f"{where}: {line}"
        assert len(words) - 2 * len(given_options) >= len(arguments), f"{where}: {line}"


NAMES = ["article", " item_id", "item id", "0", "1.5", "true", "[1]", "it's", 'say "x"', "a;b", "$HOME", "Größe", "a=b"]


@pytest.mark.parametrize("name", NAMES)
def test_the_way_to_name_a_column_works_when_pasted(tmp_path: Path, name: str) -> None:
    log = pa.table({"user_id": [*"ab"], name: [*"xy"], "timestamp": [1_700_000_000, 1_700_000_001]})
    advised = as_option("columns.item_id", name)
    flag, assignment = shlex.split(advised)
    assert flag == "--set"
    report = check_log(log, compose(read_overrides(assignments=[assignment])), tmp_path)
    assert report.items == 2


def test_a_missing_column_is_answered_with_what_can_be_pasted(tmp_path: Path) -> None:
    log = pa.table({"user_id": [*"ab"], " item_id": [*"xy"], "timestamp": [1_700_000_000, 1_700_000_001]})
    with pytest.raises(LogError, match=r"did you mean ' item_id'\?") as refused:
        check_log(log, compose({}), tmp_path)
    _, assignment = shlex.split(str(refused.value)[str(refused.value).index("--set") :])
    assert check_log(log, compose(read_overrides(assignments=[assignment])), tmp_path).items == 2


@given(st.one_of(st.text(), st.lists(st.text())))
def test_an_option_gives_the_value_that_it_was_made_for(value: str | list[str]) -> None:
    _, assignment = shlex.split(as_option("columns.item_id", value))
    assert read_overrides(assignments=[assignment]) == {"columns": {"item_id": value}}
