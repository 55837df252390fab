"""Standard streams that are closed, full, gone or without UTF-8: no traceback, and an exit code that says what was."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_logs

import segue
from segue.cli import app as cli
from segue.system.exit_codes import Exit
from segue.system.streams import _Messages

COMMAND = " ".join([sys.executable, "-m", "segue"])


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash with our command as $SEGUE, a corpus as $CORPUS and a model as $MODEL."""
    paths = {"CORPUS": str(small_logs.corpus()), "MODEL": str(small_logs.counting_model("popularity", "global"))}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env={**os.environ, "SEGUE": COMMAND, **paths, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere_and_the_work_is_done(tmp_path: Path, closed: str) -> None:
    """A file that is opened must not get the number of a closed stream, and have messages written into it."""
    model = tmp_path / "model"
    assert shell(f"$SEGUE train $CORPUS --out {model} --set model.name=popularity {closed}").returncode == 0
    assert segue.load(model).recommend(None, ["first3"], k=1)


def test_a_result_that_cannot_be_written_is_a_mistake_in_one_line() -> None:
    done = shell("$SEGUE stats $CORPUS --json > /dev/full")
    assert done.stderr == "segue: cannot write the result to stdout: No space left on device\n"
    assert done.returncode == 2


def test_messages_that_cannot_be_written_stop_no_work() -> None:
    done = shell("$SEGUE recommend $MODEL --user nobody 2> /dev/full")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 10


def test_a_reader_that_has_seen_enough_ends_the_command() -> None:
    done = shell("$SEGUE recommend $MODEL --items first3 --json | true")
    assert done.returncode == Exit.READER_GONE
    assert not done.stderr.count("Broken")


def test_what_ascii_lacks_is_escaped(tmp_path: Path) -> None:
    items = small_logs.write_csv(tmp_path / "items.csv", [("first3", "Café ☕")], ("item_id", "name"))
    out = tmp_path / "modèle"
    command = f"$SEGUE fit {small_logs.log()} --items {items} --out {out} --set model.name=popularity"
    assert f"model: {tmp_path}/mod\\xe8le" in shell(command, PYTHONIOENCODING="ascii").stderr
    assert segue.load(out).name("first3") == "Café ☕"


def test_a_message_is_lost_where_stderr_takes_none() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        messages = _Messages(io.TextIOWrapper(full, "utf-8"))  # type: ignore[type-var]
        assert messages.write("one\n") == 4
        messages.flush()
        messages.detach()


@pytest.mark.parametrize("command", ["check", "stats", "recommend", "fit", "prepare", "train", "tune", "compare"])
def test_names_that_are_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    shutil.copy(small_logs.log(), path)
    out = ["--out", str(tmp_path / "out")] if command not in ("check", "stats", "recommend") else []
    assert cli.run([command, path, *out]) == 2
    said = capsys.readouterr().err
    assert said == f"segue: the name {tmp_path}/caf\\udce9 is not UTF-8; rename the file or folder\n"


def test_the_home_folder_in_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell leaves `~` to us in quotes, and after ``--out=``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(small_logs.log(), tmp_path / "log.csv")
    shutil.copy(small_logs.items_file(), tmp_path / "items.csv")
    (tmp_path / "config.toml").write_text('[model]\nname = "popularity"\n')
    command = ["fit", "~/log.csv", "--items=~/items.csv", "--out=~/model", "--config=~/config.toml", "--json"]
    assert cli.run(command) == 0, capsys.readouterr().err
    assert (tmp_path / "model" / "manifest.json").exists()
    assert cli.run(["recommend", "~/model", "-k", "1"]) == 0
