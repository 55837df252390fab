"""The units and the image: systemd accepts them, their commands exist, and a night that goes wrong loses nothing."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import growing
import pytest
import small_logs
import typer
from servers import serving

from segue.cli.app import application, run
from segue.cli.first_words import first_words

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("segue*.*"))
COMMANDS = typer.main.get_command(application()).commands  # type: ignore[attr-defined]
SEGUE = "/opt/segue/bin/segue"


def value(unit: str, key: str) -> str:
    """The value of a key that a unit has once."""
    (found,) = re.findall(rf"^{key}=(.*)$", (DEPLOY / unit).read_text(encoding="utf-8"), re.MULTILINE)
    return str(found)


def image(instruction: str) -> list[str]:
    """The words of an instruction of the image that is written as JSON."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^{instruction} (\[.*\])$", text, re.MULTILINE)
    return [str(word) for word in json.loads(found)]


def accepted(words: list[str]) -> None:
    """Parse a command as the command line does, without running it."""
    command, _ = first_words(words, {})
    assert command is not None
    COMMANDS[command].make_context(command, words[words.index(command) + 1 :], resilient_parsing=False)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        (tmp_path / unit.name).write_text(text.replace(SEGUE, sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_commands_of_the_units_exist() -> None:
    for unit in ("segue.service", "segue-nightly.service"):
        program, *words = shlex.split(value(unit, "ExecStart"))
        assert program == SEGUE
        accepted(words)


def test_a_nightly_run_is_bounded_in_a_way_that_systemd_obeys() -> None:
    assert value("segue-nightly.service", "Type") == "oneshot"
    assert value("segue-nightly.service", "TimeoutStartSec")
    assert "\nRuntimeMaxSec" not in (DEPLOY / "segue-nightly.service").read_text(encoding="utf-8")


def test_the_image_serves_as_a_user_of_its_own() -> None:
    assert image("ENTRYPOINT") == ["segue"]
    accepted(image("CMD"))
    users = re.findall(r"^USER (.*)$", (DEPLOY / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")


def test_the_health_check_of_the_image_tells_a_server_that_answers() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    (words,) = re.findall(r"^HEALTHCHECK .*\\\n\s*CMD (\[.*\])$", text, re.MULTILINE)
    _, option, code = json.loads(words)
    assert option == "-c"
    with serving(small_logs.counting_model("popularity", "global")) as server:
        check = [sys.executable, "-c", code.replace("http://127.0.0.1:8000", server.url)]
        assert subprocess.run(check, check=False).returncode == 0
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0


# The nightly command, on small data; a thread of its own asks it to end at the line that is named.
AT_EPOCH = """
import logging, os, signal, threading
record_of = logging.getLogRecordFactory()

def stop_at(*args, **kwargs):
    record = record_of(*args, **kwargs)
    if record.getMessage().startswith("epoch 1"):
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()
    return record

logging.setLogRecordFactory(stop_at)
"""


def night(folder: Path, program: str = "", largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command of the nightly unit in a folder of its own."""
    _, *words = shlex.split(value("segue-nightly.service", "ExecStart").replace("/srv/segue", str(folder)))

    def limited() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-c", f"{program}\nfrom segue.__main__ import main\nmain()", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, preexec_fn=limited,
    )  # fmt: skip


def first_model(folder: Path, log: str) -> None:
    """The model that is trained once by hand, as the unit says, with small settings."""
    unit = (DEPLOY / "segue-nightly.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^#   sudo -u segue segue (fit .*?)  ", unit, re.MULTILINE)
    words = shlex.split(command.replace("/srv/segue/log.parquet", log).replace("/srv/segue", str(folder)))
    settings = ["model.name=gru4rec", "model.dim=8", "training.max_epochs=2", "filters.min_item_support=1"]
    words += [word for setting in settings for word in ("--set", setting)]
    assert run(words) == 0


def contents(model: Path) -> dict[str, bytes]:
    return {str(path.relative_to(model)): path.read_bytes() for path in model.rglob("*") if path.is_file()}


def test_a_night_that_is_stopped_or_finds_the_disk_full_leaves_the_old_model(tmp_path: Path) -> None:
    first, _, both = growing.logs()
    duckdb.sql(f"COPY (FROM '{both}') TO '{tmp_path / 'log.parquet'}' (FORMAT parquet)")
    first_model(tmp_path, str(first))
    before = contents(tmp_path / "model")

    stopped = night(tmp_path, AT_EPOCH)
    assert stopped.returncode == 128 + signal.SIGTERM
    assert json.loads(stopped.stderr.splitlines()[-1])["event"] == "interrupted"
    assert contents(tmp_path / "model") == before

    full = night(tmp_path, largest_file=20_000)  # as where the disk is full: what goes beyond cannot be written
    assert full.returncode == 2, full.stderr
    assert json.loads(full.stderr.splitlines()[-1])["event"] == "mistake"
    assert contents(tmp_path / "model") == before

    assert night(tmp_path).returncode == 0
    after = contents(tmp_path / "model")
    assert after.keys() >= {"config.json", "corpus/manifest.json"}
    assert after != before

    again = night(tmp_path)
    assert again.returncode == int(value("segue-nightly.service", "SuccessExitStatus"))
    assert json.loads(again.stderr.splitlines()[-1])["event"] == "unchanged"
    assert contents(tmp_path / "model") == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.parquet", "model"]
