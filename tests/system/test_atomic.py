"""Files written whole: the permissions that any new file gets, whatever the library that writes them gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segue.system.atomic import UNFINISHED, aside, write_text


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_follows_the_umask_whoever_writes_it(tmp_path: Path, umask: int) -> None:
    write_text(tmp_path / "text", "x")
    with aside(tmp_path / "tensors") as new:
        save_file({"x": torch.zeros(1)}, new)  # alone it makes a file that only its owner can read
    with aside(tmp_path / "closed") as new:
        new.write_bytes(b"x")
        new.chmod(0o600)
    assert {permissions(path) for path in tmp_path.iterdir()} == {0o666 & ~umask}


def test_what_a_killed_process_left_decides_nothing(tmp_path: Path) -> None:
    left = tmp_path / f"text{UNFINISHED}"
    left.write_text("half")
    left.chmod(0o600)
    write_text(tmp_path / "text", "whole")
    assert (tmp_path / "text").read_text() == "whole"
    assert permissions(tmp_path / "text") == 0o666 & ~current_umask()
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_bytes_of_a_name_that_are_no_text_are_written_as_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "caf\udce9")
    assert (tmp_path / "text").read_bytes() == b"caf\\udce9"


def fill(path: Path) -> None:
    with aside(path) as new, open("/dev/full", "w") as full:
        new.write_text("half")
        full.write("x")


def test_a_full_disk_says_where(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*text'"):
        fill(tmp_path / "text")
    assert list(tmp_path.iterdir()) == []


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
