"""``segue compare`` and ``segue tune`` from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import small_logs

from segue.cli import app as cli
from segue.cli import compare as command
from segue.compare import markdown, standing


def test_the_command_writes_its_three_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c"
    arguments = ["compare", str(small_logs.corpus()), "--out", str(out)]
    asked = [*arguments, "--models", "popularity,markov", "--no-tune", "--seeds", "0,3"]
    assert cli.run([*asked, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert json.loads((out / "results.json").read_text()) == summary
    assert list(summary["models"]) == ["popularity/global", "markov/first_order"]
    assert (out / "report.html").exists()
    assert cli.run([*arguments, "--show"]) == 0
    shown = capsys.readouterr().out
    assert shown == (out / "results.md").read_text() == markdown(standing(out))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0"], "--seeds: expected how many"),
        (["--seeds", "1,1"], "different whole numbers"),
        (["--seeds", "two"], "found 'two'"),
        (["--seeds", ""], "found ''"),
        (["--seeds", "999999999"], r"how many \(1 to 100\)"),
        (["--seeds", f"{2**63},3"], "different whole numbers"),
        (["--minutes", "inf"], "--minutes must be a number of minutes"),
        (["--models", ","], "--models names no model"),
        (["--models", "nobody"], "unknown model 'nobody'"),
        (["--set", "model.dim=8"], r"settings of \[model\] differ from model to model"),
        (["--set", "training.seed=8"], "use --seeds and --history"),
        (["--show"], "there is no comparison at"),
    ],
)
def test_mistakes_leave_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["compare", str(small_logs.corpus()), "--out", str(tmp_path / "c"), *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_measured_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", str(small_logs.corpus()), "--out", str(tmp_path / "c"), "--models", "gru4rec", "--no-tune"]
    assert cli.run([*asked, "--seeds", "1", "--set", "training.learning_rate=1e30"]) == 2
    assert re.search(r"no model could be measured \(gru4rec/full_softmax: .*diverged", capsys.readouterr().err)


def test_tune_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tune", str(small_logs.corpus()), "--model", "popularity/session", "--out", str(tmp_path / "t")]
    assert cli.run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], len(told["trials"])) == ("popularity/session", 1)
    assert cli.run(arguments) == 0
    said = capsys.readouterr()
    assert "validation HR@10" in said.out
    assert f"settings: {tmp_path / 't' / 'best.toml'}" in said.err
    assert cli.run([*arguments, "--minutes", "0"]) == 2
    assert "--minutes must be a number of minutes above 0" in capsys.readouterr().err


def test_the_quick_form_takes_fewer_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "QUICK_USERS", 5)
    arguments = ["compare", str(small_logs.corpus()), "--out", str(tmp_path / "c"), "--models", "markov", "--quick"]
    assert cli.run([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["models"]) == ["markov/first_order", "popularity/global"]
    assert summary["users"] == 5
    assert (summary["plan"]["minutes"], summary["passed_popularity"] is not None) == (0, True)
    (sample,) = tmp_path.glob("c-corpus-5-*")
    stamp = (sample / "manifest.json").stat().st_mtime_ns
    assert cli.run([*arguments, "--overwrite"]) == 0
    assert (sample / "manifest.json").stat().st_mtime_ns == stamp
    note = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert note["seeds"] == [0]
