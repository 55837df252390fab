"""The guide to the audit: its example is what the command prints, and its tables name the checks that are made."""

from __future__ import annotations

import re
from pathlib import Path

import leaks
import pytest
import small_logs

from segue.audit.corpus import audit_corpus
from segue.audit.model import audit_model
from segue.cli import app as cli

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "audit.md").read_text(encoding="utf-8")


def test_the_example_is_what_the_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (train, test), (printed,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("csv", "text"))
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.csv").write_text(rows)
    arguments = ["audit", "--train", str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv")]
    assert cli.run(arguments) == 1
    assert capsys.readouterr().out.startswith(printed + "not checked: ")


def test_the_tables_name_the_checks_that_are_made() -> None:
    named = set(re.findall(r"^\| ([\w',\- ]+?) \|", PAGE, re.MULTILINE)) - {"check", "verdict"}
    log = str(small_logs.log())
    audits = [audit_model(small_logs.fitted_model(), log=log), audit_corpus(leaks.corpus(), str(leaks.log()))]
    made = {finding.name for audit in audits for finding in audit.findings}
    assert named - {"clean", "leak", "share", "cannot"} == made
