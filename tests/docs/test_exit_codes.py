"""The table of exit codes names exactly the codes that the commands return."""

from __future__ import annotations

import ast
import re
import signal
from pathlib import Path

import segue
from segue.system.exit_codes import Exit
from segue.system.interrupts import STOPS

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "unattended.md"
PACKAGE = Path(segue.__file__).parent
ENDS = {"sys.exit", "os._exit", "SystemExit", "typer.Exit", "exit"}


def documented() -> set[int]:
    section = GUIDE.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    return {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}


def test_the_table_names_the_codes_that_there_are() -> None:
    assert documented() == {int(code) for code in Exit}


def test_every_signal_that_is_answered_has_its_code() -> None:
    assert {128 + number for number in STOPS} | {128 + signal.SIGPIPE} == {int(code) for code in Exit if code > 128}


def test_no_code_is_written_as_a_number() -> None:
    """Whatever ends the process names its code, so that no code is left out of the table."""
    literal = [
        f"{path.name}:{call.lineno}"
        for path in PACKAGE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ENDS
        if any(isinstance(given, ast.Constant) for given in call.args)
    ]
    assert not literal


def test_a_number_would_be_noticed() -> None:
    (call,) = [node for node in ast.walk(ast.parse("sys.exit(2)")) if isinstance(node, ast.Call)]
    assert ast.unparse(call.func) in ENDS
    assert isinstance(call.args[0], ast.Constant)


def test_what_a_command_says_takes_the_form_that_was_asked_for() -> None:
    """With ``--log json`` every message is one object: `err.say` sees to that, and `err.print` writes text alone."""
    found = [path.name for path in (PACKAGE / "cli").rglob("*.py") if "err.print(" in path.read_text(encoding="utf-8")]
    assert found == ["console.py"]  # where a message becomes text
