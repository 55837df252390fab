"""Messages and progress on stderr: text that reads well in a file, or one JSON object per line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_logs

from segue.cli import app as cli
from segue.cli import progress
from segue.cli.first_words import FirstWords, first_words

TRAINING = ["--set", "model.name=gru4rec", "--set", "model.dim=8", "--set", "training.max_epochs=2"]
ESC = "\x1b"


def run(*arguments: str, program: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in which `program` runs before."""
    code = f"{program}\nfrom segue.__main__ import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def lines_of(errors: str) -> list[dict[str, Any]]:
    """The objects on stderr; each says when, how grave, what, and what a person would read."""
    lines = [json.loads(line) for line in errors.splitlines()]
    assert lines
    assert all({"time", "level", "event", "logger", "message"} <= set(line) for line in lines)
    return lines


def test_a_training_tells_its_epochs_and_its_corpus(tmp_path: Path) -> None:
    done = run("--log", "json", "fit", str(small_logs.log()), "--out", str(tmp_path / "model"), "--json", *TRAINING)
    assert done.returncode == 0
    json.loads(done.stdout)
    told = {line["event"]: line for line in lines_of(done.stderr)}
    assert told["epoch"]["epoch"] == 2
    assert told["epoch"]["loss"] > 0
    assert 0 <= told["epoch"]["validation"]["HR@10"] <= 1
    assert told["corpus"]["sizes"]["items"] > 0
    assert told["stage"]["model"].startswith("gru4rec")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["check", "absent.csv"], 2), (["recommend", "absent"], 2), (["nonsense"], 2), (["fit", "x", "--nonsense"], 2)],
)
def test_a_mistake_is_one_object_with_its_exit_code(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_LOG", "json")
    assert cli.run(arguments) == code
    (line,) = lines_of(capsys.readouterr().err)
    assert (line["level"], line["event"], line["exit_code"]) == ("error", "mistake", code)


def test_warnings_have_their_level(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(small_logs.counting_model("popularity", "global"))
    assert cli.run(["--log=json", "recommend", model, "--items", "first3,nobody's item"]) == 0
    (line,) = lines_of(capsys.readouterr().err)
    assert line["level"] == "warning"
    assert "nobody's item" in line["message"]


STOPPED = (
    "import sys, os, signal\nsys.addaudithook(lambda e, a: e == 'import' and a[0] == {!r} and os.kill(os.getpid(), 15))"
)


@pytest.mark.parametrize("module", ["segue.cli.app", "segue.pipeline.fit"])
def test_an_interrupt_is_an_object_too(module: str, tmp_path: Path) -> None:
    done = run("--log", "json", "fit", "log.csv", "--out", str(tmp_path / "m"), program=STOPPED.format(module))
    assert done.returncode == 143
    (line,) = lines_of(done.stderr)
    assert (line["event"], line["exit_code"]) == ("interrupted", 143)


BROKEN = """
import segue.data.log.check, warnings
def broken(*args, **kwargs):
    warnings.warn("of a library")
    raise ZeroDivisionError("no such\\nthing")
segue.data.log.check.check_log = broken
"""


def test_a_defect_and_the_warning_of_a_library_are_objects() -> None:
    done = run("--log", "json", "check", str(small_logs.log()), program=BROKEN)
    assert done.returncode == 1
    warning, defect = lines_of(done.stderr)
    assert (warning["level"], warning["logger"]) == ("warning", "py.warnings")
    assert (defect["level"], defect["event"]) == ("critical", "defect")
    assert "ZeroDivisionError" in defect["trace"]


@pytest.mark.parametrize("variable", ["FORCE_COLOR", pytest.param("TTY_COMPATIBLE", marks=pytest.mark.slow)])
def test_no_control_character_reaches_a_file(tmp_path: Path, variable: str) -> None:
    program = "import segue.cli.progress as progress\nprogress.EVERY = 0.0"
    out = ["--out", str(tmp_path / "model")]
    done = run("train", str(small_logs.corpus()), *out, *TRAINING, program=program, **{variable: "1"})
    assert done.returncode == 0
    assert not {character for character in done.stderr if ord(character) < 32} - {"\n"}
    steps = [line for line in done.stderr.splitlines() if line.startswith("epoch 2/2, loss ")]
    assert steps
    assert all(" of " in line and "left in this epoch" in line for line in steps)


def test_progress_comes_once_in_a_while(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(small_logs.counting_model("popularity", "global"))
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert cli.run(["--log", "json", "evaluate", model, "--json"]) == 0
    steps = [line for line in lines_of(capsys.readouterr().err) if line["event"] == "progress"]
    assert steps[-1]["work"] == "events measured"
    assert steps[-1]["done"] == steps[-1]["of"] > 0
    monkeypatch.setattr(progress, "EVERY", 3600.0)
    assert cli.run(["evaluate", model, "--json"]) == 0
    assert "events measured" not in capsys.readouterr().err


@pytest.mark.parametrize(("form", "has_bar"), [("text", True), ("json", False)])
def test_bars_are_for_a_terminal_and_not_for_programs(tmp_path: Path, form: str, has_bar: bool) -> None:
    screen, terminal = pty.openpty()
    code = "from segue.__main__ import main; main()"
    words = ["--log", form, "train", str(small_logs.corpus()), "--out", str(tmp_path / "model"), *TRAINING]
    shown = {**os.environ, "TERM": "xterm"}
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=shown) as process:
        os.close(terminal)
        seen = b""
        try:
            while piece := os.read(screen, 65536):
                seen += piece
        except OSError:  # the end of a terminal whose last writer has gone
            pass
    os.close(screen)
    assert process.returncode == 0
    assert (ESC in seen.decode()) is has_bar


@pytest.mark.parametrize(
    ("words", "variable", "command", "as_json"),
    [
        ("--log json fit --log", None, "fit", True),
        ("--log=json fit", "text", "fit", True),
        ("--log text serve", "json", "serve", False),
        ("serve --log json", None, "serve", False),
        ("--help", "json", None, True),
        ("--log", None, None, False),
    ],
)
def test_the_first_words(words: str, variable: str | None, command: str | None, as_json: bool) -> None:
    environment = {"SEGUE_LOG": variable} if variable else {}
    assert first_words(words.split(), environment) == FirstWords(command, as_json)


def test_an_unknown_form_is_a_mistake(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.run(["--log", "xml", "check", "log.csv"]) == 2
    assert "'xml' is not one of 'text', 'json'" in capsys.readouterr().err
    monkeypatch.setenv("SEGUE_LOG", "xml")
    assert cli.run(["check", "log.csv"]) == 2
    assert "SEGUE_LOG" in capsys.readouterr().err
