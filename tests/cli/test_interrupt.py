"""Ctrl-C at any moment of a command: one line, exit code 130, nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import duckdb
import pytest
import small_logs

from segue.data import corpus as corpora
from segue.data import engine
from segue.system.interrupts import undisturbed

ROWS = 1_000_000
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


@contextmanager
def started(*arguments: str, answer: Any = signal.default_int_handler) -> Iterator[subprocess.Popen[str]]:
    run = subprocess.Popen(
        [*small_logs.COMMAND, *arguments],
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


def interrupted(run: subprocess.Popen[str]) -> str:
    """Interrupt the command; it says so in its last line and returns 130. Returns all that it said on stderr."""
    run.send_signal(signal.SIGINT)
    said, errors = run.communicate(timeout=120)
    assert run.returncode == 130, (run.returncode, errors)
    assert said == ""
    assert "Traceback" not in errors
    assert sum("interrupted" in line.lower() for line in errors.splitlines()) == 1
    assert errors.splitlines()[-1].startswith("interrupted; ")
    return errors


def reaching(run: subprocess.Popen[str], line: str) -> None:
    """Wait until the command says a line that begins so."""
    assert run.stderr is not None
    assert any(said.startswith(line) for said in run.stderr), f"it ended before it said {line!r}"


@pytest.mark.parametrize("library", ["numpy", "libtorch_cpu", "duckdb"])
def test_during_the_imports(library: str, tmp_path: Path, log: Path) -> None:
    with started("prepare", str(log), "--out", str(tmp_path / "corpus"), *LIMIT) as run:
        while library not in Path(f"/proc/{run.pid}/maps").read_text():
            assert run.poll() is None
            time.sleep(0.001)
        interrupted(run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["log:", "sessions:", "filters.min_item_support:", "split:", "test: "])
def test_during_the_preparation(line: str, tmp_path: Path, log: Path) -> None:
    out = tmp_path / "new" / "corpus"
    with started("prepare", str(log), "--out", str(out), *LIMIT) as run:
        reaching(run, line)
        interrupted(run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["items", "train", "test"])
def test_while_the_corpus_is_written(file: str, tmp_path: Path, log: Path) -> None:
    """The corpus that is to be replaced stays as it was."""
    out = tmp_path / "corpus"
    shutil.copytree(small_logs.corpus(), out)
    with started("prepare", str(log), "--out", str(out), "--overwrite", *LIMIT) as run:
        while not list(tmp_path.glob(f".corpus.*/corpus/{file}.parquet")):
            assert run.poll() is None, run.communicate()
            time.sleep(0.001)
        interrupted(run)
    assert list(tmp_path.iterdir()) == [out]
    assert corpora.load(out).fingerprint == corpora.load(small_logs.corpus()).fingerprint


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_during_check(delay: float, tmp_path: Path, log: Path) -> None:
    with started("check", str(log), *LIMIT) as run:
        reaching(run, str(log))
        time.sleep(delay)
        interrupted(run)


@pytest.mark.slow
def test_a_fit_interrupted_in_its_preparation_resumes(tmp_path: Path, log: Path) -> None:
    out = tmp_path / "model"
    command = ["fit", str(log), "--out", str(out), *LIMIT, "--set", "model.name=popularity"]
    with started(*command) as run:
        reaching(run, "sessions:")
        interrupted(run)
    assert [path.name for path in tmp_path.rglob("*")] == ["model.partial", "run.json"]
    with started(*command, "--resume") as run:
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_ignored_stays_ignored(tmp_path: Path, log: Path) -> None:
    """As for ``segue prepare ... &`` in a script: its Ctrl-C is not meant for it."""
    with started("prepare", str(log), "--out", str(tmp_path / "corpus"), *LIMIT, answer=signal.SIG_IGN) as run:
        reaching(run, "log:")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=120)
        assert run.returncode == 0
    assert corpora.load(tmp_path / "corpus").n_items


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def swallowed() -> None:
    with suppress(KeyboardInterrupt):
        press()


def renamed() -> None:
    try:
        press()
    except KeyboardInterrupt:
        raise RuntimeError("Query interrupted") from None


@pytest.mark.parametrize("step", [press, swallowed, renamed])
def test_an_interrupt_is_not_lost_on_its_way(step: Callable[[], None]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), engine.guarded("counting"), engine.guarded("reading"):
        step()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_query_is_an_interrupt() -> None:
    """The engine itself calls it a RuntimeError."""
    connection = duckdb.connect()
    Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), engine.guarded("sorting"):
        connection.execute("CREATE TABLE sorted AS SELECT hash(range) AS key FROM range(4000000) ORDER BY key")


def test_pressed_again_it_does_not_break_into_the_cleaning_up() -> None:
    cleaned = []

    def step() -> None:
        try:
            press()
        finally:
            press()
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), engine.guarded("preparing"):
        step()
    assert cleaned


def test_what_must_not_be_half_done_is_done_first() -> None:
    done = []

    def step() -> None:
        with undisturbed():
            press()
            done.append("published")
        done.append("afterwards")

    with pytest.raises(KeyboardInterrupt), engine.guarded("preparing"):
        step()
    assert done == ["published"]


def test_in_another_thread_the_main_thread_keeps_its_answer() -> None:
    found = []

    def work() -> None:
        with engine.guarded("counting"), undisturbed():
            found.append(signal.getsignal(signal.SIGINT))

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
