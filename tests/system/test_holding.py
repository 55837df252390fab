"""One process per folder: the second one says who holds it, and nobody waits for the dead."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from segue.errors import ArtifactError, CorpusError
from segue.system.holding import held, sweep

HOLDING = """
import sys
from pathlib import Path
from segue.errors import CorpusError
from segue.system.holding import held
with held(Path(sys.argv[1]), CorpusError):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(out: Path) -> subprocess.Popen[str]:
    """A process that holds a folder until its input ends."""
    command = [sys.executable, "-c", HOLDING, str(out)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def lock(out: Path) -> Path:
    return out.with_name(f".{out.name}.segue-lock")


def test_the_second_process_says_who_holds_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with holding(out) as process:
        with pytest.raises(ArtifactError) as caught, held(out, ArtifactError):
            pass
        process.communicate("")
    who = rf"{re.escape(str(out))} is in use by process {process.pid} on {re.escape(socket.gethostname())}"
    pattern = who + r" since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; wait until it ends, or choose another --out"
    assert re.fullmatch(pattern, str(caught.value))
    assert list(tmp_path.iterdir()) == [], "and the parents that were made for the lock are gone"
    with held(out, ArtifactError):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with holding(out) as process:
        os.kill(process.pid, signal.SIGKILL)
    assert lock(out).exists()
    with held(out, CorpusError):
        assert str(os.getpid()) in lock(out).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_hold_what_its_parent_held(tmp_path: Path) -> None:
    out = tmp_path / "out"
    reader, writer = os.pipe()
    with held(out, CorpusError):
        child = os.fork()
        if child == 0:
            try:
                os.close(writer)
                os.read(reader, 1)  # outlives the parent's block
            finally:
                os._exit(0)
    try:
        with held(out, CorpusError):
            pass
    finally:
        os.close(writer)
        os.waitpid(child, 0)
        os.close(reader)


def test_a_forked_child_that_leaves_the_block_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    out = tmp_path / "out"
    holding_it = held(out, CorpusError)
    with holding_it:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                holding_it.__exit__(None, None, None)
                code = 0
            finally:
                os._exit(code)  # in any case: a child that went on would be a second pytest
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert lock(out).exists()
        with pytest.raises(CorpusError, match="in use"), held(out, CorpusError):
            pass


def test_the_same_folder_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("out")
    with (
        held(tmp_path / "out", CorpusError),
        pytest.raises(CorpusError, match="in use"),
        held(tmp_path / "link", CorpusError),
    ):
        pass


def test_a_lock_that_was_removed_meanwhile_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder ends between the opening and the locking: what is locked then is a file without a name."""
    out, real, removed = tmp_path / "out", fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(lock(out).unlink())
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with held(out, CorpusError):
        assert lock(out).exists()


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(descriptor: int, how: int) -> NoReturn:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with held(tmp_path / "out", CorpusError):
        pass
    assert "has no locks; do not start two processes on one folder" in caplog.text


def test_beside_a_folder_nobody_may_write_the_lock_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    real = os.open

    def open_(path: Path, *how: int) -> int:
        if path == lock(tmp_path / "out"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *how)

    monkeypatch.setattr(os, "open", open_)
    with held(tmp_path / "out", CorpusError):
        assert len(list((tmp_path / "out").iterdir())) == 1
        with pytest.raises(CorpusError, match="in use by process"), held(tmp_path / "out", CorpusError):
            pass
    assert list((tmp_path / "out").iterdir()) == []


def test_sweeping_takes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a" / ".b.segue-new").mkdir(parents=True)
    (tmp_path / "a" / ".b.segue-former").mkdir()
    for name in (".a.segue-lock", "ours.json.writing", "a/mine.writing", "a/ours.json", "a/.notes"):
        (tmp_path / name).write_text("")
    with held(tmp_path / "live", CorpusError):
        sweep(tmp_path, lambda path: path.name.startswith("ours"))
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"a", "a/b", "a/mine.writing", "a/ours.json", "a/.notes", ".live.segue-lock"}
