"""Small files that a user names: read whole where they are small files, refused at once where they are not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from segue.system import reading
from segue.system.reading import read_text


def test_a_file_and_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\xc2\x85d\n")
    assert read_text(tmp_path / "file", 100) == "a\nb\nc\x85d\n"


def test_the_limit_counts_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 100)
    assert read_text(tmp_path / "file", 100) == "x" * 100
    with pytest.raises(OSError, match="larger than 99 bytes"):
        read_text(tmp_path / "file", 99)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than"):
        read_text(tmp_path / "file", 1 << 20)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full"])
def test_devices(device: str) -> None:
    with pytest.raises(OSError, match="a device, not a file"):
        read_text(Path(device), 100)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path, 100)


def test_a_pipe_is_read_as_it_comes() -> None:
    """As ``--config <(command)`` has it."""
    end, beginning = os.pipe()
    writer = threading.Thread(
        target=lambda: [os.write(beginning, b"a" * 1000) for _ in range(100)] and os.close(beginning)
    )
    writer.start()
    try:
        assert read_text(Path(f"/dev/fd/{end}"), 1 << 20) == "a" * 100_000
    finally:
        writer.join()
        os.close(end)


def test_a_pipe_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(reading, "PATIENCE", 0.01)
    with pytest.raises(OSError, match="nobody writes into this pipe"):
        read_text(tmp_path / "pipe", 100)
