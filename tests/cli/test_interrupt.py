"""Ctrl-C or a signal to end at any moment of a command: one line, an exit code of its own, nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
import small_logs

from segue.cli import app
from segue.data import corpus as corpora
from segue.errors import ConfigError
from segue.system.interrupts import stop

Process = subprocess.Popen[str]


ROWS = 200_000


def slow(value: str) -> Any:
    """A case for `make test-slow`: the moments beside it are of the same kind."""
    return pytest.param(value, marks=pytest.mark.slow)


LIMIT = ["--set", "preparation.memory_limit=256MiB"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that takes seconds to prepare."""
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    duckdb.sql(f"""
        COPY (
            SELECT 'user' || hash(range // 20) % 3000 AS user_id, 'item' || sqrt(hash(range) % 4000000)::INT AS item_id,
                   1700000000 + (range // 20) * 7200 + (range % 20) * 60 AS timestamp
            FROM range({ROWS})
        ) TO '{path}' (FORMAT parquet)
    """)
    return path


# The command in a process that presses Ctrl-C itself when it comes to an event, so that no test depends on speed. It is
# pressed by a thread, as by another process: at any moment of what the main thread does next.
PRESSING = """
import logging, os, signal, sys, threading

def press():
    threading.Thread(target=os.kill, args=(os.getpid(), {number})).start()

number = {number}
{event}
from segue.__main__ import main
main()
"""


AT_LINE = """
record_of = logging.getLogRecordFactory()

def press_at_line(*args, **kwargs):
    record = record_of(*args, **kwargs)
    if record.getMessage().startswith({line!r}):
        press()
    return record

logging.setLogRecordFactory(press_at_line)
"""


AT_IMPORT = """
def press_at_import(event, args, seen=[]):
    if event == "import" and args[0] == {module!r} and not seen:
        seen.append(True)
        os.kill(os.getpid(), number)

sys.addaudithook(press_at_import)
"""


AT_FILE = """
import pyarrow.parquet as pq
opens = pq.ParquetWriter.__init__

def press_at_file(self, where, *args, **kwargs):
    opens(self, where, *args, **kwargs)
    if str(where).endswith({file!r}):
        press()

pq.ParquetWriter.__init__ = press_at_file
"""


HANGING = 600  # seconds: limit for a process that hangs, far beyond what any machine needs


@contextmanager
def started(
    *arguments: str, event: str = "", answer: Any = signal.default_int_handler, number: int = signal.SIGINT
) -> Iterator[Process]:
    """The command in a process of its own, which presses Ctrl-C at `event`; killed at the end if it still runs.

    Args:
        answer: the answer to Ctrl-C that it finds. number: another signal that is sent to it instead.
    """
    run = subprocess.Popen(
        [sys.executable, "-c", PRESSING.format(event=event, number=int(number)), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, answer),
    )
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def interrupted(run: Process, code: int = 130) -> str:
    """The interrupted command says so in its last line and returns 130. Returns all that it said on stderr."""
    said, errors = run.communicate(timeout=HANGING)
    assert run.returncode == code, (run.returncode, errors)
    assert said == ""
    assert "Traceback" not in errors
    assert sum("interrupted" in line.lower() for line in errors.splitlines()) == 1
    assert errors.splitlines()[-1].startswith("interrupted; ")
    return errors


@pytest.mark.parametrize("module", ["torch", *map(slow, ["numpy", "duckdb"])])
def test_during_the_imports(module: str, tmp_path: Path, log: Path) -> None:
    event = AT_IMPORT.format(module=module)
    with started("prepare", str(log), "--out", str(tmp_path / "corpus"), *LIMIT, event=event) as run:
        interrupted(run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["sessions:", "test: ", *map(slow, ["log:", "filters.min_item_support:", "split:"])])
def test_during_the_preparation(line: str, tmp_path: Path, log: Path) -> None:
    out = tmp_path / "new" / "corpus"
    with started("prepare", str(log), "--out", str(out), *LIMIT, event=AT_LINE.format(line=line)) as run:
        interrupted(run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["train", *map(slow, ["items", "test"])])
def test_while_the_corpus_is_written(file: str, tmp_path: Path, log: Path) -> None:
    """The corpus that is to be replaced stays as it was."""
    out = tmp_path / "corpus"
    shutil.copytree(small_logs.corpus(), out)
    event = AT_FILE.format(file=f"corpus/{file}.parquet")
    with started("prepare", str(log), "--out", str(out), "--overwrite", *LIMIT, event=event) as run:
        interrupted(run)
    assert list(tmp_path.iterdir()) == [out]
    assert corpora.load(out).fingerprint == corpora.load(small_logs.corpus()).fingerprint


def test_during_check(log: Path) -> None:
    with started("check", str(log), *LIMIT, event=AT_LINE.format(line=str(log))) as run:
        interrupted(run)


@pytest.mark.slow
def test_a_fit_interrupted_in_its_preparation_resumes(tmp_path: Path, log: Path) -> None:
    out = tmp_path / "model"
    command = ["fit", str(log), "--out", str(out), *LIMIT, "--set", "model.name=popularity"]
    with started(*command, event=AT_LINE.format(line="sessions:")) as run:
        interrupted(run)
    assert [path.name for path in tmp_path.rglob("*")] == ["model.partial", "run.json"]
    with started(*command, "--resume") as run:
        _, errors = run.communicate(timeout=HANGING)
        assert run.returncode == 0, errors
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


ENDINGS = {signal.SIGTERM: 143, signal.SIGHUP: 129}


IMPORTING, READING = AT_IMPORT.format(module="torch"), AT_LINE.format(line="sessions:")


@pytest.mark.parametrize(
    ("event", "number"),
    [
        (IMPORTING, signal.SIGHUP),
        (READING, signal.SIGTERM),
        pytest.param(IMPORTING, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(READING, signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_end_is_answered_like_ctrl_c(tmp_path: Path, log: Path, number: int, event: str) -> None:
    out = tmp_path / "new" / "corpus"
    with started("prepare", str(log), "--out", str(out), *LIMIT, event=event, number=number) as run:
        interrupted(run, ENDINGS[number])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["epoch 1", "trial 1"])
def test_a_training_that_is_ended_keeps_its_checkpoint(tmp_path: Path, line: str) -> None:
    """As by a queue that needs the machine, or at the shutdown of a container."""
    corpus, out = str(small_logs.corpus()), str(tmp_path / "m")
    settings = ["--set", "training.max_epochs=3", "--set", "model.dim=8", "--set", "model.name=gru4rec"]
    arguments = {"epoch 1": ["train"], "trial 1": ["tune", "--trials", "3"]}[line]
    command = [*arguments, corpus, "--out", out, *settings]
    with started(*command, event=AT_LINE.format(line=line), number=signal.SIGTERM) as run:
        interrupted(run, 143)
    assert (tmp_path / {"epoch 1": "m.partial/metrics.checkpoint", "trial 1": "m/study.journal"}[line]).exists()
    assert not list(tmp_path.rglob("*.segue-*"))
    with started(*command, *["--resume"][: line == "epoch 1"]) as run:
        _, errors = run.communicate(timeout=HANGING)
        assert run.returncode == 0, errors
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_signal_that_a_parent_ignores_stays_ignored(tmp_path: Path, log: Path) -> None:
    """As for ``nohup segue prepare ...`` when the terminal closes."""
    out, event = tmp_path / "corpus", AT_LINE.format(line="log:")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with started("prepare", str(log), "--out", str(out), *LIMIT, event=event, number=signal.SIGHUP) as run:
            run.communicate(timeout=HANGING)
            assert run.returncode == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ignored_stays_ignored(tmp_path: Path, log: Path) -> None:
    """As for ``segue prepare ... &`` in a script: its Ctrl-C is not meant for it."""
    out, event = tmp_path / "corpus", AT_LINE.format(line="log:")
    with started("prepare", str(log), "--out", str(out), *LIMIT, event=event, answer=signal.SIG_IGN) as run:
        run.communicate(timeout=HANGING)
        assert run.returncode == 0
    assert corpora.load(tmp_path / "corpus").n_items


@pytest.mark.parametrize("error", [ImportError("initialization failed"), ConfigError("wrong"), OSError("damaged")])
def test_an_error_that_an_interrupt_became_is_the_interrupt(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A library in C may be loaded at that moment: its loader makes an error of its own of the interrupt."""
    coming = [signal.SIGTERM]

    def command(*_: object, **__: object) -> int:
        try:
            if coming:
                stop(coming.pop())
        except KeyboardInterrupt:
            raise error from None
        raise ImportError("is missing")

    monkeypatch.setattr(app, "application", lambda _: command)
    assert app.run(["update"]) == 143
    assert capsys.readouterr().err == "interrupted; nothing is half-written: the same command starts again\n"
    with pytest.raises(ImportError, match="is missing"):
        app.run(["update"])
